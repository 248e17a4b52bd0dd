"""Workers that are paused or killed, as an operator, the kernel or a laptop's lid does it."""

import signal
import time
from pathlib import Path

import pytest

from sessionstore import GenerationRun, LeaseHeldError, SessionManager
from tests.concurrency import manager_on, request, scene, wait_until
from tests.dumps import dump
from tests.tracking.foreign import await_passes, outcomes, status_of
from tests.tracking.workers import WRITES, TrackingWorker

# Long beyond what a test waits: who is found dead within that was not found by its lease.
LONG_LEASE_SECONDS = 60
SOON_SECONDS = 15


def claimed_by(manager: SessionManager, worker: str) -> GenerationRun:
    """The session that is there, once it is free."""
    found: list[GenerationRun | None] = []

    def is_claimed() -> bool:
        found.append(manager.claim_next_session(worker, lease_seconds=LONG_LEASE_SECONDS))
        return found[-1] is not None

    wait_until(is_claimed, "the session to be free")
    run = found[-1]
    assert run is not None
    return run


@pytest.mark.parametrize("is_finished", [True, False], ids=["finished meanwhile", "still worked on"])
def test_a_worker_that_was_paused_past_its_lease_changes_nothing_and_says_why(
    database: Path, is_finished: bool
) -> None:
    with manager_on(database, recovery_interval=0.2) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker("obey", database, worker="slow", lease_seconds=1, recovery_interval=0.2) as paused:
            paused.expect("ready")
            assert paused.ask("claim") == "s attempt 1"
            assert paused.ask("scene 1") == "done"
            paused.pause()
            run = claimed_by(manager, "quick")
            assert (run.attempt, run.pending_scene_numbers()) == (2, [2, 3, 4, 5])
            run.add_scene(scene(2))
            if is_finished:
                run.complete()
            before = dump(database)

            paused.resume()
            replies = [paused.ask(write) for write in WRITES]
            since = ", completed since" if is_finished else ""
            reason = f"session 's' is now attempt 2 of worker 'quick'{since} (yours was attempt 1)"
            for reply in replies:
                assert reply == f"LeaseLostError: {reason}; stop this run, its writes are refused"
            wait_until(lambda: f"worker slow: {reason}" in paused.log(), "the log to say why")
            assert dump(database) == before
        assert outcomes(database) == ["crashed", "completed" if is_finished else None]


def test_a_paused_worker_whose_lease_lasts_is_not_dead(database: Path) -> None:
    with manager_on(database, recovery_interval=0.1) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker("obey", database, worker="w", lease_seconds=LONG_LEASE_SECONDS) as paused:
            paused.expect("ready")
            assert paused.ask("claim") == "s attempt 1"
            paused.pause()
            await_passes(manager, 5)
            with pytest.raises(LeaseHeldError):
                manager.track("s", "other")
            paused.resume()
            assert paused.ask("complete") == "done"
    assert outcomes(database) == ["completed"]


def test_a_running_manager_takes_back_at_once_what_a_killed_process_held(database: Path) -> None:
    with manager_on(database, recovery_interval=0.5) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker("obey", database, worker="w", lease_seconds=LONG_LEASE_SECONDS) as worker:
            worker.expect("ready")
            assert worker.ask("claim") == "s attempt 1"
            worker.kill()
            killed = time.monotonic()
            assert claimed_by(manager, "other").attempt == 2
            assert time.monotonic() - killed < SOON_SECONDS
    assert outcomes(database) == ["crashed", None]


@pytest.mark.parametrize("how", ["opened", "track"])
def test_a_new_manager_has_what_a_killed_process_held_from_the_first_moment(database: Path, how: str) -> None:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
    with TrackingWorker("obey", database, worker="w", lease_seconds=LONG_LEASE_SECONDS) as worker:
        worker.expect("ready")
        assert worker.ask("claim") == "s attempt 1"
        worker.kill()
    # Too seldom for the background to have a part in it; without, only opening or asking by name looks.
    with manager_on(database, recovery_interval=3600 if how == "opened" else None) as manager:
        if how == "opened":
            run = manager.claim_next_session("other")
        else:
            assert manager.claim_next_session("other") is None
            run = manager.track("s", "other")
        assert run is not None
        assert run.attempt == 2


def test_a_zombie_counts_as_dead(database: Path) -> None:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker("obey", database, worker="w", lease_seconds=LONG_LEASE_SECONDS) as worker:
            worker.expect("ready")
            assert worker.ask("claim") == "s attempt 1"
            worker.send(signal.SIGKILL)
            wait_until(lambda: worker.state() == "Z", "the process to die")
            assert manager.recover_interrupted_sessions() == 1
            assert worker.state() == "Z"
    assert status_of(database) == "pending"
    assert outcomes(database) == ["crashed"]


def test_a_session_that_kills_every_process_is_failed_in_the_end_and_a_retry_starts_the_count_again(
    database: Path,
) -> None:
    with manager_on(database, recovery_interval=None, max_attempts=2) as manager:
        manager.create_session(request(), session_id="s")
        for attempt in (1, 2):
            with TrackingWorker("obey", database, worker=f"w{attempt}", lease_seconds=LONG_LEASE_SECONDS) as worker:
                worker.expect("ready")
                assert worker.ask("claim") == f"s attempt {attempt}"
                worker.kill()
                assert manager.recover_interrupted_sessions() == 1
        session = manager.get_session("s")
        assert session is not None
        assert session.status == "failed"
        assert "its workers died 2 times in a row" in str(session.error_message)
        assert "attempt 2 of worker 'w2' (its process died)" in str(session.error_message)
        assert manager.retry_session("s")
        assert claimed_by(manager, "w3").attempt == 3
