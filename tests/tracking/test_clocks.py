"""Clocks that jump, and clocks that differ: the system's is set, a machine sleeps, a container has its own idea."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from sessionstore import Clock, GenerationRun, LeaseLostError, SessionManager, utc_now
from sessionstore.testing import ManualClock
from tests.concurrency import Caller, all_at_once, ask, manager_on, request, scene, wait_until
from tests.conftest import OpenManager
from tests.tracking.foreign import await_passes, lease_end, move_to_another_machine, outcomes, status_of
from tests.tracking.workers import SharedClock, TrackingWorker

# An hour is far beyond both; a wait for what a second's lease allows fails long before.
LEASE_SECONDS = 1
LONG_LEASE_SECONDS = 60


@pytest.fixture
def shared(tmp_path: Path) -> SharedClock:
    """The one clock of all processes and managers of a test."""
    return SharedClock(tmp_path / "clock")


@pytest.fixture
def managers(database: Path, shared: SharedClock) -> Iterator[list[SessionManager]]:
    """Two, as of two processes, that look for interrupted sessions all the time."""
    with ExitStack() as stack:
        yield [stack.enter_context(manager_on(database, clock=shared, recovery_interval=0.1)) for _ in range(2)]


@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
def test_when_the_clock_jumps_the_living_keep_their_sessions_and_the_dead_keep_theirs_no_longer(
    managers: list[SessionManager], shared: SharedClock, database: Path, tmp_path: Path, hours: int
) -> None:
    first, second = managers
    for session_id in ("elsewhere", "here", "dead"):
        first.create_session(request(), session_id=session_id)
    options = {"clock": str(tmp_path / "clock"), "recovery_interval": 0.1}
    with TrackingWorker("obey", database, worker="elsewhere", lease_seconds=LONG_LEASE_SECONDS, **options) as elsewhere:
        elsewhere.expect("ready")
        assert elsewhere.ask("claim") == "elsewhere attempt 1"
        here = first.track("here", "here", lease_seconds=LONG_LEASE_SECONDS)
        first.track("dead", "dead", lease_seconds=LEASE_SECONDS)
        move_to_another_machine(database, "dead")
        seen = {session_id: lease_end(database, session_id) for session_id in ("here", "elsewhere")}

        shared.move(hours=hours)
        wait_until(lambda: status_of(database, "dead") == "pending", "the dead one to be found")
        for session_id, end in seen.items():
            wait_until(lambda each=session_id, end=end: lease_end(database, each) != end, "the lease to be renewed")  # type: ignore[misc]
        await_passes(first, 3)
        await_passes(second, 3)
        assert elsewhere.ask("complete") == "done"
        here.complete()
    assert [outcomes(database, each) for each in ("here", "elsewhere", "dead")] == [
        ["completed"],
        ["completed"],
        ["crashed"],
    ]


def test_a_lease_that_only_a_jump_makes_look_expired_is_renewed_before_anybody_acts(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    owner, other = (open_manager(recovery_interval=None, cleanup_interval=None) for _ in range(2))
    owner.create_session(request(), session_id="s")
    run = owner.claim_next_session("w", lease_seconds=LONG_LEASE_SECONDS)
    assert run is not None
    clock.advance(hours=1)
    # At once, so that it sees the lease before the owner's heartbeats have seen the clock.
    assert other.recover_interrupted_sessions() == 0
    run.complete()
    assert outcomes(database) == ["completed"]


def test_control_the_same_jump_takes_the_session_from_an_owner_who_does_not_renew(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    owner, other = (open_manager(recovery_interval=None, cleanup_interval=None) for _ in range(2))
    owner.create_session(request(), session_id="s")
    owner.claim_next_session("w", lease_seconds=LONG_LEASE_SECONDS)
    clock.advance(hours=1)
    assert other.recover_interrupted_sessions() == 1
    assert outcomes(database) == ["crashed"]


def test_a_dead_owners_lease_is_cut_when_the_clock_is_set_back(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    owner, other = (open_manager(recovery_interval=None, cleanup_interval=None) for _ in range(2))
    owner.create_session(request(), session_id="s")
    owner.claim_next_session("w", lease_seconds=LONG_LEASE_SECONDS)
    clock.advance(hours=-1)
    assert other.recover_interrupted_sessions() == 0
    clock.advance(seconds=LONG_LEASE_SECONDS - 1)
    assert other.recover_interrupted_sessions() == 0
    clock.advance(seconds=1)
    assert other.recover_interrupted_sessions() == 1
    assert status_of(database) == "pending"


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_a_worker_whose_clock_is_an_hour_off_cannot_write_a_session_that_another_was_given(
    database: Path, tmp_path: Path, hours: int
) -> None:
    SharedClock(tmp_path / "wrong").move(hours=hours)
    with manager_on(database, recovery_interval=0.1) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker(
            "obey",
            database,
            worker="wrong",
            lease_seconds=LEASE_SECONDS,
            clock=str(tmp_path / "wrong"),
            recovery_interval=0.1,
        ) as wrong:
            wrong.expect("ready")
            assert wrong.ask("claim") == "s attempt 1"
            move_to_another_machine(database, "s")
            wrong.pause()
            wait_until(lambda: status_of(database) == "pending", "its lease to be over, by the others' clock")
            run = manager.track("s", "right")
            wrong.resume()
            assert wrong.ask("scene 2").startswith("LeaseLostError: session 's' is now attempt 2 of worker 'right'")
            assert wrong.ask("complete").startswith("LeaseLostError: ")
            run.complete()
    assert outcomes(database) == ["crashed", "completed"]
    assert ask(database, "SELECT count(*) FROM scenes") == [(0,)]


def test_workers_whose_clocks_differ_by_hours_finish_each_session_once(database: Path) -> None:
    """Whatever they think of each other's leases: the database refuses a second holder, and every stale write."""
    clocks = [_shifted(hours) for hours in (0, 1, -1)]
    with ExitStack() as stack:
        managers = [
            stack.enter_context(manager_on(database, clock=clock, recovery_interval=0.1, max_attempts=1000))
            for clock in clocks
        ]
        for number in range(12):
            managers[0].create_session(request(), session_id=f"s{number:02}")
        completed = all_at_once([partial(_generate_all, manager, database) for manager in managers])
    names = [session_id for each in completed for session_id in each]
    assert sorted(names) == [f"s{number:02}" for number in range(12)]
    finishes = "SELECT session_id, count(*) FROM session_events WHERE status = 'completed' GROUP BY 1 ORDER BY 1"
    assert ask(database, finishes) == [(session_id, 1) for session_id in sorted(names)]
    assert ask(database, "SELECT count(*) FROM scenes") == [(5 * 12,)]
    ended = dict(ask(database, "SELECT coalesce(outcome, 'none'), count(*) FROM runs GROUP BY 1"))
    assert ended.pop("completed") == 12
    # The control: each clock's owner was declared dead by others.
    assert ended.keys() == {"crashed"}
    assert ended["crashed"] >= len(clocks)


def _shifted(hours: int) -> Clock:
    return lambda: utc_now() + timedelta(hours=hours)


def _generate_all(manager: SessionManager, database: Path) -> list[str]:
    """Claims and generates until nothing is unfinished; the sessions that it completed. Falls silent at the first."""
    completed: list[str] = []
    has_been_silent = False
    while ask(database, "SELECT 1 FROM sessions WHERE status <> 'completed' LIMIT 1"):
        run = manager.claim_next_session("same name", lease_seconds=LEASE_SECONDS)
        if run is None:
            time.sleep(0.01)
            continue
        if not has_been_silent:
            has_been_silent = True
            manager._store.heartbeats.drop(run)
            wait_until(partial(_has_ended, database, run), "somebody to give the session to another")
            with pytest.raises(LeaseLostError):
                run.add_scene(scene(1))
            continue
        with suppress(LeaseLostError):
            for number in run.pending_scene_numbers():
                run.add_scene(scene(number))
            run.complete()
            completed.append(run.session_id)
    return completed


def _has_ended(database: Path, run: GenerationRun) -> bool:
    return outcomes(database, run.session_id)[run.attempt - 1] is not None


def test_heartbeats_go_on_through_jumps_in_both_directions(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    owner = open_manager(recovery_interval=None, cleanup_interval=None)
    owner.create_session(request(), session_id="s")
    with owner.track("s", "w", lease_seconds=LEASE_SECONDS):
        for hours in (1, -2, 1):
            seen = lease_end(database, "s")
            clock.advance(hours=hours)
            renewals = Caller(lambda seen=seen: wait_until(lambda: lease_end(database, "s") != seen))  # type: ignore[misc]
            renewals.finish()
