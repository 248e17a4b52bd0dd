"""The database cannot be written for longer than leases last: nobody is dead for that."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sessionstore import GenerationRun, SessionLockError, SessionManager, utc_now
from tests.concurrency import Caller, manager_on, request, scene, wait_until
from tests.tracking.foreign import (
    Outage,
    await_passes,
    lease_end,
    move_to_another_machine,
    outcomes,
    status_of,
)
from tests.tracking.workers import TrackingWorker

LEASE_SECONDS = 1
LONG_LEASE_SECONDS = 60
# So long after a lease was over, who looks has waited for a renewal, and over half a second for the lock.
PATIENCE_SECONDS = 1.8
HEARTBEATS = "sessionstore.maintenance"


@pytest.fixture
def managers(database: Path) -> Iterator[list[SessionManager]]:
    """Two, as of two processes, that look for interrupted sessions all the time."""
    with ExitStack() as stack:
        yield [stack.enter_context(manager_on(database, recovery_interval=0.1)) for _ in range(2)]


def over_for(database: Path, session_id: str) -> float:
    """For how many seconds the lease has been over."""
    end = datetime.fromisoformat(lease_end(database, session_id)).replace(tzinfo=UTC)
    return (utc_now() - end).total_seconds()


def test_after_an_outage_longer_than_their_leases_all_workers_go_on_and_finish(
    managers: list[SessionManager], database: Path
) -> None:
    first, second = managers
    for session_id in ("elsewhere", "here"):
        first.create_session(request(), session_id=session_id)
    with TrackingWorker(
        "obey", database, worker="elsewhere", lease_seconds=LEASE_SECONDS, recovery_interval=0.1
    ) as elsewhere:
        elsewhere.expect("ready")
        assert elsewhere.ask("claim") == "elsewhere attempt 1"
        here = first.track("here", "here", lease_seconds=LEASE_SECONDS)
        with Outage(database):
            wait_until(lambda: min(over_for(database, each) for each in ("here", "elsewhere")) > PATIENCE_SECONDS)
            seen = {session_id: lease_end(database, session_id) for session_id in ("here", "elsewhere")}
        for session_id, end in seen.items():
            wait_until(lambda each=session_id, end=end: lease_end(database, each) > end, "heartbeats to go on")  # type: ignore[misc]
        await_passes(first, 5)
        await_passes(second, 5)
        assert elsewhere.ask("scene 1") == "done"
        assert elsewhere.ask("complete") == "done"
        here.add_scene(scene(1))
        here.complete()
        assert "renewing leases" not in elsewhere.log()
    assert outcomes(database, "here") == outcomes(database, "elsewhere") == ["completed"]


def test_an_owner_who_died_in_an_outage_is_found_one_lease_period_after_it(
    managers: list[SessionManager], database: Path
) -> None:
    # More than what is waited for a renewal anyway.
    lease_seconds = 2
    managers[0].create_session(request(), session_id="s")
    managers[0].track("s", "dead", lease_seconds=lease_seconds)
    move_to_another_machine(database, "s")
    with Outage(database):
        wait_until(lambda: over_for(database, "s") > PATIENCE_SECONDS)
        end = utc_now()
    wait_until(lambda: status_of(database) == "pending", "the dead one to be found")
    # To the millisecond that an instant is kept with.
    assert utc_now() - end > timedelta(seconds=lease_seconds - 0.001)
    assert outcomes(database) == ["crashed"]
    assert managers[1].track("s", "other").attempt == 2


def test_the_heartbeat_thread_survives_an_outage_and_logs_it_once(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with manager_on(database, recovery_interval=None, lock_timeout=0.1) as manager:
        manager.create_session(request(), session_id="s")
        with manager.track("s", "w", lease_seconds=LEASE_SECONDS):
            loop = manager._store.heartbeats._loop
            assert loop is not None
            (job,) = loop._jobs
            with Outage(database):
                wait_until(lambda: job.is_failing, "a renewal to fail")
                failed = job.passes_finished
                # Each of these fails.
                wait_until(lambda: job.passes_finished > failed + 3, "heartbeats to go on trying")
                seen = lease_end(database, "s")
            wait_until(lambda: lease_end(database, "s") > seen, "the lease to be renewed")
            wait_until(lambda: not job.is_failing, "it to be told")
    assert outcomes(database) == ["completed"]
    messages = [record.getMessage() for record in caplog.records if record.name == HEARTBEATS]
    assert messages == [
        "a pass of renewing leases failed; the next ones are tried as scheduled",
        "renewing leases works again",
    ]


@pytest.mark.parametrize(
    "own_error", [None, LookupError("it would not")], ids=["after a refused write", "an own error"]
)
def test_a_run_that_ends_in_an_outage_is_given_back_after_it(database: Path, own_error: Exception | None) -> None:
    with manager_on(database, recovery_interval=0.1, lock_timeout=0.1) as manager:
        manager.create_session(request(), session_id="s")
        # The lease lasts longer than the test waits: what gives the session back is not that it runs out.
        run = manager.track("s", "w", lease_seconds=LONG_LEASE_SECONDS)
        with Outage(database):
            with pytest.raises(LookupError if own_error else SessionLockError):
                _work_on(run, own_error)
            assert outcomes(database) == [None]
        wait_until(lambda: status_of(database) == "pending", "the session to be given back")
        assert outcomes(database) == ["released"]
        assert manager.track("s", "other").attempt == 2


def _work_on(run: GenerationRun, own_error: Exception | None) -> None:
    with run:
        if own_error:
            raise own_error
        run.add_scene(scene(1))


def test_writes_that_wait_for_an_outage_to_end_are_done_by_those_who_still_hold_their_sessions(
    managers: list[SessionManager], database: Path
) -> None:
    managers[0].create_session(request(), session_id="s")
    with managers[0].track("s", "w", lease_seconds=LEASE_SECONDS) as run:
        with Outage(database, "EXCLUSIVE"):
            caller = Caller(lambda: run.add_scene(scene(1)))
            wait_until(lambda: over_for(database, "s") > PATIENCE_SECONDS)
            assert not caller.is_done()
        caller.finish()
        assert run.pending_scene_numbers() == [2, 3, 4, 5]
    assert outcomes(database) == ["completed"]
