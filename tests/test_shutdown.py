"""Shutting down: everybody who called gets an answer, what was acknowledged stays, and nothing hangs."""

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionstore import ManagerClosedError, SessionManager, SessionManagerError
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.concurrency import PATIENCE_SECONDS, Caller, Holder, all_at_once, ask, manager_on, queue_up, request, scene
from tests.conftest import OpenManager

CALLS: list[Callable[[SessionManager], object]] = [
    lambda manager: manager.create_session(request()),
    lambda manager: manager.get_session("a"),
    lambda manager: manager.with_session_lock("a", lambda session: None),
    lambda manager: manager.bulk_update_sessions(["a"], lambda session: None),
    lambda manager: manager.cleanup_expired_sessions(),
    lambda manager: manager.get_performance_stats(),
    lambda manager: manager.list_sessions(),
    lambda manager: manager.check(),
    lambda manager: manager.transaction().__enter__(),
]


@pytest.mark.parametrize("call", CALLS)
def test_calls_after_shutdown_are_refused(database: Path, call: Callable[[SessionManager], object]) -> None:
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    assert manager.shutdown()
    with pytest.raises(ManagerClosedError):
        call(manager)
    assert ask(database, "SELECT session_id FROM sessions") == [("a",)]


def test_shutdown_can_be_repeated_and_called_by_five_threads_at_once(database: Path) -> None:
    manager = manager_on(database)
    manager.create_session(request())
    assert all_at_once([manager.shutdown] * 5) == [True] * 5
    assert manager.shutdown()


def test_shutdown_waits_for_a_running_transaction_and_lets_it_finish_what_it_began(database: Path) -> None:
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    is_inside, go_on = threading.Event(), threading.Event()
    heard: list[Any] = []

    def operation(session: Any) -> None:
        is_inside.set()
        assert go_on.wait(PATIENCE_SECONDS)
        manager.add_scene_to_session("a", scene(1))

    # A callback belongs to the call that it follows, and may use the manager as long as that runs.
    manager.register_session_callback("scene_added", lambda session_id, _: heard.append(manager.get_session("a")))
    running = Caller(lambda: manager.with_session_lock("a", operation))
    assert is_inside.wait(PATIENCE_SECONDS)
    closing = Caller(manager.shutdown)
    refused = Caller(lambda: wait_for_refusal(manager)).join()
    assert isinstance(refused.error, ManagerClosedError)
    assert not closing.is_done()
    go_on.set()
    running.finish()
    assert closing.finish() is True
    assert [session.scenes[0].scene_number for session in heard] == [1]
    assert ask(database, "SELECT scene_number FROM scenes") == [(1,)]


def wait_for_refusal(manager: SessionManager) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        manager.get_session("a")


def test_writers_that_queue_when_the_store_shuts_down_are_answered(database: Path) -> None:
    manager = manager_on(database)
    with Holder(manager):
        callers = queue_up(manager, *(partial(manager.create_session, request(), session_id=str(n)) for n in range(5)))
        closing = Caller(manager.shutdown)
    assert [caller.finish() for caller in callers] == ["0", "1", "2", "3", "4"]
    assert closing.finish() is True
    assert ask(database, "SELECT count(*) FROM sessions") == [(5,)]


def test_shutdown_says_false_when_a_call_outlives_the_timeout_and_true_once_it_is_over(database: Path) -> None:
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    with Holder(manager):
        assert manager.shutdown(timeout=0.05) is False
        with pytest.raises(ManagerClosedError):
            manager.get_session("a")
        assert Path(f"{database}-wal").exists()
    assert manager.shutdown(timeout=5) is True
    assert not Path(f"{database}-wal").exists()


def test_a_call_that_is_only_reading_is_waited_for_too(database: Path) -> None:
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    is_reading, go_on = threading.Event(), threading.Event()

    def read(_: object) -> str:
        is_reading.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return "read"

    reader = Caller(lambda: manager._store.engine.read(read))
    assert is_reading.wait(PATIENCE_SECONDS)
    assert manager.shutdown(timeout=0.05) is False
    go_on.set()
    assert reader.finish() == "read"
    assert manager.shutdown(timeout=5) is True


def test_shutdown_inside_a_transaction_is_refused_and_changes_nothing(database: Path) -> None:
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    with manager.transaction():
        with pytest.raises(SessionManagerError, match="inside a transaction"):
            manager.shutdown(timeout=1)
        assert manager.add_scene_to_session("a", scene(1))
    assert manager.add_scene_to_session("a", scene(2))
    # The background loop goes on as well.
    assert wait_for_cleanup(manager, max_wait=5)
    assert manager.shutdown()


def test_a_callback_may_shut_the_manager_down(database: Path) -> None:
    manager = manager_on(database)
    answers: list[bool] = []
    manager.register_session_callback("created", lambda *_: answers.append(manager.shutdown(timeout=5)))
    manager.create_session(request(), session_id="a")
    assert answers == [True]
    assert ask(database, "SELECT session_id FROM sessions") == [("a",)]


def test_access_times_are_saved_at_shutdown(database: Path, clock: ManualClock) -> None:
    manager = manager_on(database, clock=clock)
    session_id = manager.create_session(request())
    clock.advance(hours=2)
    manager.get_session(session_id)
    assert ask(database, "SELECT last_accessed FROM sessions") == [("2026-01-01 12:00:00.000",)]
    assert manager.shutdown()
    assert ask(database, "SELECT last_accessed FROM sessions") == [("2026-01-01 14:00:00.000",)]


def test_shutdown_keeps_to_its_timeout_when_another_process_holds_the_write_lock(database: Path) -> None:
    """Only access times are left to be saved then, and those may get lost; or it says False."""
    first, second = manager_on(database, lock_timeout=3), manager_on(database)
    session_id = first.create_session(request())
    first.get_session(session_id)
    began = threading.Event()

    def shut_down() -> bool:
        began.set()
        return first.shutdown(timeout=0.1)

    with Holder(second):
        closing = Caller(shut_down)
        assert began.wait(PATIENCE_SECONDS)
        closing.thread.join(2)
        was_done = closing.is_done()
    closing.join()
    assert was_done
    assert first.shutdown()
    assert second.shutdown()


def test_shutdown_succeeds_although_the_last_access_times_cannot_be_saved(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_on(database)
    session_id = manager.create_session(request())
    manager.get_session(session_id)
    database.unlink()
    assert manager.shutdown()
    assert "access times could not be saved" in caplog.text


def test_closing_does_not_mind_threads_that_come_for_the_first_time(open_manager: OpenManager) -> None:
    gate, switch_interval = open_manager()._store.engine.gate, sys.getswitchinterval()
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            thread = threading.Thread(target=lambda: gate.place)
            thread.start()
            thread.join()

    comers = [threading.Thread(target=come_and_go) for _ in range(3)]
    sys.setswitchinterval(0.00001)
    try:
        for comer in comers:
            comer.start()
        for _ in range(1500):
            assert gate.shut(1)
    finally:
        stop.set()
        sys.setswitchinterval(switch_interval)
        for comer in comers:
            comer.join()
        gate._shut = False
