"""Closing a store, and ending a process, while runs are in the middle of something."""

import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from sessionstore import GenerationRun, ManagerClosedError, Provider, SessionLockError
from sessionstore.operations import upkeep
from tests.concurrency import Caller, ask, manager_on, request, scene, wait_until
from tests.tracking.foreign import Outage, outcomes
from tests.tracking.stopping import slow_provider
from tests.tracking.workers import TrackingWorker

LEASE_SECONDS = 1
LONG_LEASE_SECONDS = 60


def test_what_was_to_be_given_back_later_is_given_back_at_shutdown(database: Path) -> None:
    manager = manager_on(database, recovery_interval=None, lock_timeout=0.1)
    manager.create_session(request(), session_id="s")
    run = manager.track("s", "w", lease_seconds=LONG_LEASE_SECONDS)
    with Outage(database), pytest.raises(SessionLockError), run:
        run.add_scene(scene(1))
    assert manager.shutdown()
    assert outcomes(database) == ["released"]


def test_ctrl_c_lets_a_submit_finish_as_sigterm_does(database: Path) -> None:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker("stop", database, doing="submit") as worker:
            worker.expect("submitting")
            worker.send(signal.SIGINT)
            assert worker.wait() == -signal.SIGINT
    assert outcomes(database) == ["released"]
    assert ask(database, "SELECT state, job_id FROM provider_calls") == [("submitted", "job-1")]


def test_shutdown_gives_back_also_what_a_thread_lets_go_of_while_it_waits(database: Path) -> None:
    """The thread that it waits for is the last to leave; it ends its run before shutdown comes to give it back."""
    is_submitting = threading.Event()

    def work() -> None:
        with run:
            run.call(slow_provider(lambda report: is_submitting.set()), 1, "a picture")

    manager = manager_on(database)
    manager.create_session(request(), session_id="s")
    run = manager.track("s", "w", lease_seconds=LONG_LEASE_SECONDS)
    caller = Caller(work)
    assert is_submitting.wait(10)
    assert manager.shutdown()
    assert isinstance(caller.join().error, ManagerClosedError)
    assert outcomes(database) == ["released"]


def test_shutdown_gives_back_what_threads_write_to_all_the_time(database: Path) -> None:
    def work(run: GenerationRun) -> None:
        with run:
            number = 0
            while True:
                number += 1
                run.add_scene(scene(number))

    manager = manager_on(database)
    ids = [f"s{number}" for number in range(8)]
    for session_id in ids:
        manager.create_session(request(), session_id=session_id)
    callers = [Caller(partial(work, manager.track(session_id, "w"))) for session_id in ids]
    wait_until(lambda: ask(database, "SELECT count(DISTINCT session_id) FROM scenes") == [(8,)])
    assert manager.shutdown()
    assert all(isinstance(caller.join().error, ManagerClosedError) for caller in callers)
    assert [outcomes(database, session_id) for session_id in ids] == [["released"]] * 8


def test_a_lease_lasts_while_shutdown_waits_for_a_submit(database: Path) -> None:
    """Else another one takes the session over, and the job's id is refused."""
    is_submitting, may_finish = threading.Event(), threading.Event()

    def submit(request: object) -> str:
        is_submitting.set()
        assert may_finish.wait(30)
        return "job-1"

    provider = Provider(name="slow", submit=submit, fetch=lambda job_id: job_id)
    with manager_on(database, recovery_interval=0.1) as other:
        manager = manager_on(database)
        manager.create_session(request(), session_id="s")
        run = manager.track("s", "w", lease_seconds=LEASE_SECONDS)
        caller = Caller(partial(run.call, provider, 1, "a picture"))
        assert is_submitting.wait(10)
        closing = Caller(partial(manager.shutdown, 20))
        until = time.monotonic() + 4 * LEASE_SECONDS
        wait_until(lambda: time.monotonic() > until or outcomes(database) != [None])
        next_run = other.claim_next_session("next")
        may_finish.set()
        assert closing.finish()
        assert isinstance(caller.join().error, ManagerClosedError)
        assert next_run is None
    assert ask(database, "SELECT state, job_id FROM provider_calls") == [("submitted", "job-1")]


def test_sigterm_in_a_call_of_the_manager_ends_the_process_after_that_call(database: Path) -> None:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        with TrackingWorker("stop", database, doing="use the manager") as worker:
            worker.expect("using it")
            worker.send(signal.SIGTERM)
            worker.expect("used it")
            assert worker._process.wait(timeout=5) == 143
    assert outcomes(database) == ["released"]


def test_a_with_block_that_cannot_close_in_time_says_so(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_inside, may_leave = threading.Event(), threading.Event()

    def stay(session: object) -> None:
        is_inside.set()
        assert may_leave.wait(30)

    manager = manager_on(database)
    manager.create_session(request(), session_id="s")
    caller = Caller(lambda: manager.with_session_lock("s", stay))
    assert is_inside.wait(10)
    monkeypatch.setattr(upkeep, "USUAL_TIMEOUT_SECONDS", 0.05)
    with manager:
        pass
    assert "the store is left open" in caplog.text
    may_leave.set()
    caller.finish()
    monkeypatch.undo()
    assert manager.shutdown()
