"""Who is taken for dead, and when: close calls of outages, clocks and renewals."""

import logging
import time
from pathlib import Path

import pytest

from sessionstore import SessionLockError, SessionManager, utc_now
from sessionstore.testing import ManualClock
from tests.concurrency import Caller, Holder, engine_of, manager_on, queue_up, request, wait_until
from tests.conftest import OpenManager
from tests.tracking.foreign import Outage, await_passes, await_ticks, lease_end, outcomes, status_of

LEASE_SECONDS = 1
LONG_LEASE_SECONDS = 60


def is_waiting_to_write(manager: SessionManager) -> bool:
    return engine_of(manager)._queue._owner is not None


def over(database: Path) -> bool:
    return lease_end(database, "s") < f"{utc_now():%Y-%m-%d %H:%M:%S}"


def test_an_outage_that_ends_while_somebody_looks_makes_nobody_dead(database: Path) -> None:
    """It ends when the look has begun to wait for the lock, and has not waited half a second yet."""
    with (
        manager_on(database, recovery_interval=None) as other,
        # Its renewals fail at once, and are tried again a tick later: the look is first to get the lock.
        manager_on(database, recovery_interval=None, lock_timeout=0.001) as owner,
    ):
        other.create_session(request(), session_id="s")
        with owner.track("s", "w", lease_seconds=LEASE_SECONDS):
            with Outage(database):
                wait_until(lambda: over(database), "the lease to be over")
                look = Caller(other.recover_interrupted_sessions)
                wait_until(lambda: is_waiting_to_write(other), "the look to wait for the lock")
                await_ticks(owner, 1)
            assert look.finish() == 0
    assert outcomes(database) == ["completed"]


def test_an_outage_that_outlasts_the_lock_timeout_makes_nobody_dead_either(database: Path) -> None:
    with (
        manager_on(database, recovery_interval=None, lock_timeout=0.1) as other,
        manager_on(database, recovery_interval=None, lock_timeout=0.001) as owner,
    ):
        other.create_session(request(), session_id="s")
        with owner.track("s", "w", lease_seconds=LEASE_SECONDS):
            with Outage(database):
                wait_until(lambda: over(database), "the lease to be over")
                with pytest.raises(SessionLockError):
                    other.recover_interrupted_sessions()
                until = time.monotonic() + LEASE_SECONDS
                wait_until(lambda: time.monotonic() > until)
                # Reads work meanwhile; it is writing that owners were kept from.
                with pytest.raises(SessionLockError):
                    other.recover_interrupted_sessions()
            assert other.recover_interrupted_sessions() == 0
    assert outcomes(database) == ["completed"]


def test_a_long_outage_is_logged_once_by_who_looks_for_interrupted_sessions(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with manager_on(database, recovery_interval=0.1, lock_timeout=0.05) as manager:
        manager.create_session(request(), session_id="s")
        with manager.track("s", "w", lease_seconds=LEASE_SECONDS), Outage(database):
            wait_until(lambda: "recovering interrupted sessions failed" in caplog.text)
            await_passes(manager, 20)
            await_passes(manager, 20)
    told = [each for each in caplog.messages if "recovering interrupted sessions" in each]
    assert told == ["a pass of recovering interrupted sessions failed; the next ones are tried as scheduled"]


def test_a_run_whose_completion_failed_in_an_outage_is_given_back_after_it(database: Path) -> None:
    with manager_on(database, recovery_interval=0.1, lock_timeout=0.1) as manager:
        manager.create_session(request(), session_id="s")
        run = manager.track("s", "w", lease_seconds=LONG_LEASE_SECONDS)
        with Outage(database), pytest.raises(SessionLockError), run:
            pass
        del run
        await_ticks(manager, 4)
        assert status_of(database) == "pending"
        assert outcomes(database) == ["released"]


def test_a_clock_that_is_set_back_and_right_again_makes_nobody_dead(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    owner, other = (open_manager(recovery_interval=None, cleanup_interval=None) for _ in range(2))
    owner.create_session(request(), session_id="s")
    with owner.track("s", "w", lease_seconds=LONG_LEASE_SECONDS):
        clock.advance(hours=-1)
        assert other.recover_interrupted_sessions() == 0
        await_ticks(owner, 2)
        clock.advance(hours=1)
        assert other.recover_interrupted_sessions() == 0
    assert outcomes(database) == ["completed"]


def test_a_run_that_ends_while_leases_are_renewed_is_not_logged_as_lost(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        run = manager.track("s", "w", lease_seconds=LONG_LEASE_SECONDS)
        heartbeats = manager._store.heartbeats
        heartbeats._due_at = 0.0
        with Holder(manager):
            callers = queue_up(manager, run.complete, heartbeats.renew_due)
        for caller in callers:
            caller.finish()
    assert outcomes(database) == ["completed"]
    assert [each for each in caplog.messages if "no more yours" in each] == []
