"""When an age can be believed: the clock of a store beside the uptime of its machine."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sessionstore import SessionManager
from sessionstore.operations.clock_jumps import LONGEST_SILENCE, ClockJumps
from sessionstore.testing import ManualClock
from tests.concurrency import request
from tests.conftest import OpenManager

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 24


class Machine:
    """A wall clock and an uptime, which go on together or are set apart."""

    def __init__(self) -> None:
        self.now, self.uptime = START, 1000.0

    def go_on(self, **duration: float) -> None:
        self.now += timedelta(**duration)
        self.uptime += timedelta(**duration).total_seconds()

    def jumps(self, last_event_at: datetime | None = None) -> ClockJumps:
        return ClockJumps(self.now, last_event_at, lambda: self.uptime)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_clock_that_goes_on_as_the_machine_does_is_believed(machine: Machine) -> None:
    jumps = machine.jumps()
    machine.go_on(days=400)
    assert jumps.can_be_believed(machine.now, 365 * DAY)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=74 * 365)])
def test_after_a_jump_an_age_is_believed_once_the_machine_has_run_for_so_long(
    machine: Machine, ahead: timedelta
) -> None:
    jumps = machine.jumps()
    machine.go_on(days=3)
    machine.now += ahead
    assert not jumps.can_be_believed(machine.now, DAY)
    machine.go_on(hours=23)
    assert not jumps.can_be_believed(machine.now, DAY)
    assert jumps.can_be_believed(machine.now, 6)
    machine.go_on(hours=1)
    assert jumps.can_be_believed(machine.now, DAY)
    assert not jumps.can_be_believed(machine.now, 30 * DAY)


def test_a_clock_that_was_set_back_is_believed_until_it_is_put_right(machine: Machine) -> None:
    jumps = machine.jumps()
    machine.now -= timedelta(days=20_000)
    assert jumps.can_be_believed(machine.now, DAY)
    machine.now += timedelta(days=20_000)
    assert not jumps.can_be_believed(machine.now, DAY)


def test_a_correction_of_seconds_is_no_jump(machine: Machine) -> None:
    jumps = machine.jumps()
    for _ in range(10):
        machine.go_on(hours=1)
        machine.now += timedelta(seconds=30)
        assert jumps.can_be_believed(machine.now, DAY)


def test_a_store_that_was_silent_for_long_is_opened_as_after_a_jump(machine: Machine) -> None:
    assert machine.jumps(START - LONGEST_SILENCE).can_be_believed(START, DAY)
    assert not machine.jumps(START - LONGEST_SILENCE - timedelta(hours=1)).can_be_believed(START, DAY)


def test_each_jump_is_warned_of_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    jumps = machine.jumps()
    for _ in range(2):
        machine.now += timedelta(hours=1)
        for _ in range(3):
            jumps.can_be_believed(machine.now, DAY)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "1:00:00 went by" in caplog.text


@pytest.fixture
def jumped(manager: SessionManager, clock: ManualClock, machine: Machine) -> SessionManager:
    """A store in which one session of each kind looks a year old: its clock jumped, as it notices."""
    store = manager._store
    store.clock_jumps = ClockJumps(clock(), None, lambda: machine.uptime)
    for session_id, status in (("new", "pending"), ("done", "completed"), ("bad", "failed")):
        manager.create_session(request(), session_id=session_id)
        manager.update_session_status(session_id, status)
    clock.advance(days=365)
    return manager


def test_what_only_a_jump_makes_old_does_not_expire(jumped: SessionManager, machine: Machine) -> None:
    assert jumped.cleanup_expired_sessions() == 0
    machine.uptime += 7 * 3600
    assert jumped.cleanup_expired_sessions() == 2
    machine.uptime += 17 * 3600
    assert jumped.cleanup_expired_sessions() == 1


@pytest.mark.parametrize(
    ("clean", "gone"),
    [(lambda manager: manager.cleanup_expired_sessions(24), 3), (lambda manager: manager.force_cleanup_all(), 3)],
)
def test_a_cleanup_that_is_told_an_age_acts_as_it_is_told(
    jumped: SessionManager, clean: Callable[[SessionManager], int], gone: int
) -> None:
    assert clean(jumped) == gone


def test_a_full_store_that_only_evicts_what_is_finished_does_not_expire_more(
    open_manager: OpenManager, clock: ManualClock, machine: Machine
) -> None:
    manager = open_manager(max_sessions=2, eviction="finished")
    manager._store.clock_jumps = ClockJumps(clock(), None, lambda: machine.uptime)
    for session_id in ("first", "finished"):
        manager.create_session(request(), session_id=session_id)
    manager.update_session_status("finished", "completed")
    clock.advance(days=365)
    manager.create_session(request(), session_id="third")
    assert {session["session_id"] for session in manager.get_all_sessions_info()} == {"first", "third"}
