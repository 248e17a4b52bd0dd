"""SIGTERM, Ctrl-C and shutdown: what is going on finishes, and sessions are given back, not crashed."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionstore import GenerationRun, ManagerClosedError, SessionManager
from tests.concurrency import Caller, ask, manager_on, request, scene
from tests.tracking.foreign import Outage, outcomes, status_of
from tests.tracking.stopping import slow_provider
from tests.tracking.workers import TrackingWorker

TERMINATED = 128 + signal.SIGTERM
CALLS = "SELECT scene_number, state, job_id FROM provider_calls"


@pytest.fixture
def manager(database: Path) -> Any:
    """Of another process than the worker that is stopped; it finds nobody dead by itself."""
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        yield manager


def claim_again(manager: SessionManager, database: Path) -> GenerationRun:
    """At once: the session was given back by the one that was stopped, and did not crash."""
    assert status_of(database) == "pending"
    assert outcomes(database) == ["released"]
    run = manager.claim_next_session("next")
    assert run is not None
    assert run.attempt == 2
    return run


def test_sigterm_lets_a_submit_finish_so_that_its_job_is_in_the_ledger(manager: SessionManager, database: Path) -> None:
    with TrackingWorker("stop", database, doing="submit") as worker:
        worker.expect("submitting")
        worker.send(signal.SIGTERM)
        assert worker.line() == ""
        assert worker.wait() == TERMINATED
    assert ask(database, CALLS) == [(1, "submitted", "job-1")]
    run, bought = claim_again(manager, database), list[object]()
    assert run.call(slow_provider(bought.append), 1, "a picture") == "image of job-1"
    assert bought == []


def test_sigterm_lets_a_write_finish_and_no_other_follow(manager: SessionManager, database: Path) -> None:
    with TrackingWorker("stop", database, doing="write") as worker:
        worker.expect("claimed")
        with Outage(database):
            worker.go()
            worker.expect("writing")
            assert ask(database, "SELECT count(*) FROM scenes") == [(0,)]
            worker.send(signal.SIGTERM)
            worker.expect("asked while writing")
        assert worker.wait() == TERMINATED
    assert claim_again(manager, database).pending_scene_numbers() == [2, 3, 4, 5]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_acknowledged_before_a_signal_is_there(
    manager: SessionManager, database: Path, number: signal.Signals
) -> None:
    with TrackingWorker("stop", database, doing="write for ever") as worker:
        reports = [worker.line() for _ in range(20)]
        worker.send(number)
        while report := worker.line():
            reports.append(report)
        assert worker.wait() == (TERMINATED if number == signal.SIGTERM else -signal.SIGINT)
    saved = {scene_number for (scene_number,) in ask(database, "SELECT scene_number FROM scenes")}
    assert {int(report) for report in reports} <= saved
    claim_again(manager, database)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_nothing_is_written_ends_the_process_at_once(
    manager: SessionManager, database: Path, number: signal.Signals
) -> None:
    with TrackingWorker("stop", database, doing="think") as worker:
        worker.expect("thinking")
        worker.send(number)
        assert worker.wait() == (TERMINATED if number == signal.SIGTERM else -signal.SIGINT)
    claim_again(manager, database)


def test_a_second_sigterm_does_not_wait_and_the_call_is_held_for_a_person(
    manager: SessionManager, database: Path
) -> None:
    with TrackingWorker("stop", database, doing="submit for ever") as worker:
        worker.expect("submitting")
        worker.send(signal.SIGTERM)
        worker.expect("asked once")
        worker.send(signal.SIGTERM)
        assert worker.wait() == TERMINATED
    # Whether the request was accepted cannot be known, and it is not sent again.
    assert ask(database, CALLS) == [(1, "held", None)]
    claim_again(manager, database)


def test_a_handler_of_the_programs_own_is_left_alone(manager: SessionManager, database: Path) -> None:
    with TrackingWorker("stop", database, doing="handle it") as worker:
        worker.expect("waiting")
        worker.send(signal.SIGTERM)
        assert worker.rest() == ["completed"]
    assert outcomes(database) == ["completed"]


def test_the_handler_of_sigterm_is_what_it_was_after_the_block(manager: SessionManager) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with manager.track("s", "w"):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


class Holding:
    """A thread that works in `with run:` until told to make its next write, and keeps what that raises."""

    def __init__(self, manager: SessionManager, write: Callable[[GenerationRun], object]) -> None:
        self._manager = manager
        self._write = write
        self._has_claimed = threading.Event()
        self.may_write = threading.Event()
        self.caller = Caller(self._work)
        assert self._has_claimed.wait(10)

    def _work(self) -> None:
        run = self._manager.claim_next_session("w")
        assert run is not None
        with run:
            self._has_claimed.set()
            assert self.may_write.wait(30)
            self._write(run)


@pytest.mark.parametrize("write", ["add_scene", "complete", "nothing"])
def test_shutdown_gives_back_what_other_threads_work_on_and_refuses_their_next_write(
    database: Path, write: str
) -> None:
    writes: dict[str, Callable[[GenerationRun], object]] = {
        "add_scene": lambda run: run.add_scene(scene(1)),
        "complete": lambda run: run.complete(),
        "nothing": lambda run: None,
    }
    with manager_on(database, recovery_interval=None) as other:
        manager = manager_on(database)
        for name in "abc":
            other.create_session(request(), session_id=name)
        threads = [Holding(manager, writes[write]) for _ in "abc"]
        assert manager.shutdown()
        assert [outcomes(database, name) for name in "abc"] == [["released"]] * 3
        runs = [other.claim_next_session("next") for _ in "abc"]
        assert [run and (run.session_id, run.attempt) for run in runs] == [("a", 2), ("b", 2), ("c", 2)]
        for thread in threads:
            thread.may_write.set()
        for thread in threads:
            assert isinstance(thread.caller.join().error, ManagerClosedError)
        for run in runs:
            assert run is not None
            run.complete()
    assert ask(database, "SELECT count(*) FROM scenes") == [(0,)]


def test_shutdown_waits_for_a_submit_that_is_going_on_and_records_its_job(database: Path) -> None:
    is_submitting = threading.Event()
    with manager_on(database, recovery_interval=None) as other:
        manager = manager_on(database)
        other.create_session(request(), session_id="s")
        provider = slow_provider(lambda report: is_submitting.set())
        thread = Holding(manager, partial(GenerationRun.call, provider=provider, scene_number=1, request="a picture"))
        thread.may_write.set()
        assert is_submitting.wait(10)
        assert manager.shutdown()
        assert ask(database, CALLS) == [(1, "submitted", "job-1")]
        assert isinstance(thread.caller.join().error, ManagerClosedError)


def test_shutdown_gives_up_on_a_submit_that_takes_too_long_and_can_be_called_again(database: Path) -> None:
    is_submitting = threading.Event()
    manager = manager_on(database)
    manager.create_session(request(), session_id="s")
    provider = slow_provider(lambda report: is_submitting.set())
    thread = Holding(manager, partial(GenerationRun.call, provider=provider, scene_number=1, request="a picture"))
    thread.may_write.set()
    assert is_submitting.wait(10)
    assert not manager.shutdown(timeout=0.1)
    assert manager.shutdown()
    assert isinstance(thread.caller.join().error, ManagerClosedError)
    assert ask(database, CALLS) == [(1, "submitted", "job-1")]
