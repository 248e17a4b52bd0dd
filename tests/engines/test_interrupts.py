"""Threads that are interrupted: nobody else waits for them, and what they held is free."""

import ctypes
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionManager, SessionManagerError
from sessionstore.persistence.unit import UnitOfWork
from tests.concurrency import (
    PATIENCE_SECONDS,
    Caller,
    Holder,
    ask,
    engine_of,
    manager_on,
    queue_up,
    request,
    scene,
    wait_until,
)
from tests.interruption import InterruptAt, Interruption

# A query that keeps SQLite busy until it is interrupted or some tenths of a second are over, and then still has rows.
BUSY_QUERY = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000)
    SELECT count(*) FROM numbers UNION ALL SELECT 2
"""
# Enough to see the pattern of a failure; each may cost a lock timeout.
MAX_PROBLEMS = 5


def interrupt(thread: threading.Thread, kind: type[BaseException] = Interruption) -> None:
    """Has `kind` raised in the thread, as soon as it runs Python again."""
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))


def lone_write(manager: SessionManager) -> None:
    manager.update_session_progress("a", 1, 2, "half")


def locked_change(manager: SessionManager) -> None:
    manager.with_session_lock("a", lambda session: session.metadata.update(n=1))


def joined_transaction(manager: SessionManager) -> None:
    with manager.transaction():
        manager.update_session_progress("a", 1, 2, "half")


def read(manager: SessionManager) -> None:
    manager.get_session("a")


def write_that_checkpoints(manager: SessionManager) -> None:
    engine_of(manager)._checkpoints._commits = 1_000_000
    manager.update_session_progress("a", 1, 2, "half")


OPERATIONS = [lone_write, locked_change, joined_transaction, read, write_that_checkpoints]


@contextmanager
def no_unraisable_noise(monkeypatch: pytest.MonkeyPatch, seen: list[Any]) -> Iterator[None]:
    """What is raised in a finalizer cannot reach the caller: it is noted, not reported."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "unraisablehook", seen.append)
        yield


def trouble_after(manager: SessionManager) -> list[str]:
    """What an interrupted call left behind, seen from other threads."""
    found = []
    try:
        Caller(lambda: manager.update_session_progress("a", 2, 2, "done")).finish()
    except Exception as error:  # noqa: BLE001 - it is the finding
        found.append(f"the next write raised {type(error).__name__}: {error}"[:120])
    if engine_of(manager).gate._depth_of_thread:
        found.append("a call is still counted as running")
    return found


@pytest.mark.parametrize("is_kept", [False, True], ids=["exception dropped", "exception kept"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_interruption_at_any_point_of_a_call_reaches_the_caller_and_leaves_the_store_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: Callable[[SessionManager], None], is_kept: bool
) -> None:
    """Kept, as a future or an error report keeps it, an exception holds on to the frames it came through."""
    problems: list[str] = []
    seen: list[Any] = []
    manager: SessionManager | None = None
    point = opened = 0
    with no_unraisable_noise(monkeypatch, seen):
        while len(problems) < MAX_PROBLEMS:
            if manager is None:
                opened += 1
                manager = manager_on(tmp_path / f"{opened}.db", lock_timeout=0.3, durability="normal")
                manager.create_session(request(), session_id="a")
                for _ in range(2):
                    operation(manager)
            point += 1
            interruption = InterruptAt(point)
            kept, swallowed_before = interrupted_call(interruption, lambda: operation(manager), is_kept), len(seen)
            if interruption.where is None:
                break
            found = trouble_after(manager)
            if kept is not Interruption and not isinstance(kept, Interruption) and len(seen) == swallowed_before == 0:
                found.append(f"the caller got {kept!r}"[:120])
            seen.clear()
            problems += [f"{interruption.where}: {each}" for each in found]
            del kept
            if found:
                with suppress(SessionManagerError):
                    manager.shutdown(timeout=0.1)
                manager = None
    assert problems == []
    assert manager is not None
    assert manager.shutdown(timeout=5)


def interrupted_call(interruption: InterruptAt, call: Callable[[], object], is_kept: bool) -> object:
    """What the call raised on its thread: the exception itself, or only its type."""
    raised: list[object] = [None]

    def run() -> None:
        interruption.install()
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            sys.setprofile(None)
            raised[0] = error if is_kept else type(error)
        finally:
            sys.setprofile(None)

    Caller(run).finish()
    return raised[0]


def test_an_interruption_of_a_leader_at_any_point_costs_no_follower_its_write_and_applies_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    seen: list[Any] = []
    followers = ["b", "c", "d"]
    versions = dict.fromkeys(["a", *followers], 1)
    manager = manager_on(tmp_path / "s.db", lock_timeout=2, durability="normal")
    for name in versions:
        manager.create_session(request(), session_id=name)
    point = 0
    with no_unraisable_noise(monkeypatch, seen):
        while len(problems) < MAX_PROBLEMS:
            point += 1
            interruption = InterruptAt(point)
            waiting = engine_of(manager)._queue._waiting
            with Holder(manager):
                leader = Caller(lambda: interrupted_call(interruption, lambda: lone_write(manager), is_kept=False))
                wait_until(lambda: waiting or leader.is_done())
                callers = queue_up(
                    manager, *(lambda name=name: manager.update_session_progress(name, 1, 2, "x") for name in followers)
                )
            got = leader.join().result
            answers = {
                name: caller.join().error or caller.result for name, caller in zip(followers, callers, strict=True)
            }
            if interruption.where is None:
                break
            found = [f"{name} got {answer!r}" for name, answer in answers.items() if answer is not True]
            now = dict(ask(tmp_path / "s.db", "SELECT session_id, version FROM sessions"))
            found += [
                f"{name} was applied {now[name] - versions[name]} times"
                for name in followers
                if now[name] != versions[name] + 1
            ]
            if got is not Interruption and not seen:
                found.append(f"the leader got {got!r}")
            seen.clear()
            versions = now
            problems += [f"{interruption.where}: {each}"[:160] for each in found]
            if found:
                # What is left of the broken one must not spoil the next point.
                engine_of(manager)._queue._leader = None
    assert problems == []
    assert manager.shutdown(timeout=5)


@pytest.mark.parametrize("is_joined", [False, True])
def test_an_interruption_while_sqlite_runs_a_query_in_a_lock_frees_the_lock(database: Path, is_joined: bool) -> None:
    is_running = threading.Event()

    def query(unit: UnitOfWork) -> None:
        is_running.set()
        unit._statements.core.exec_driver_sql(BUSY_QUERY)

    def run(_: object) -> None:
        if is_joined:
            engine_of(manager).write(query)
        else:
            unit = engine_of(manager)._outer_unit()
            assert unit is not None
            query(unit)

    with manager_on(database, lock_timeout=1) as manager:
        manager.create_session(request(), session_id="a")
        caller = Caller(lambda: manager.with_session_lock("a", run))
        assert is_running.wait(PATIENCE_SECONDS)
        interrupt(caller.thread)
        assert isinstance(caller.join().error, Interruption)
        assert Caller(lambda: manager.add_scene_to_session("a", scene(1))).finish()


def test_an_interruption_while_sqlite_runs_a_query_of_a_reader_does_not_keep_its_snapshot(database: Path) -> None:
    is_running = threading.Event()

    def query(unit: UnitOfWork) -> None:
        unit.sessions.get("a")
        is_running.set()
        unit._statements.core.exec_driver_sql(BUSY_QUERY)

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        caller = Caller(lambda: engine_of(manager).read(query))
        assert is_running.wait(PATIENCE_SECONDS)
        interrupt(caller.thread)
        assert isinstance(caller.join().error, Interruption)
        manager.add_scene_to_session("a", scene(1))
        # Every frame can be moved into the database file only when nobody reads an older state.
        ((_, frames, moved),) = ask(database, "PRAGMA wal_checkpoint(PASSIVE)")
        assert frames == moved > 0


def test_a_thread_that_is_interrupted_while_it_waits_leaves_the_queue(database: Path) -> None:
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        with Holder(manager):
            gone, stays = queue_up(
                manager,
                lambda: manager.add_scene_to_session("a", scene(1)),
                lambda: manager.add_scene_to_session("a", scene(2)),
            )
            # The wait is in C: the exception is delivered when it ends.
            interrupt(gone.thread)
        assert stays.finish()
        assert isinstance(gone.join().error, Interruption)
        assert manager.add_scene_to_session("a", scene(3))
        assert not engine_of(manager).gate._depth_of_thread


def test_an_interruption_inside_with_session_lock_saves_nothing_and_frees_the_lock(database: Path) -> None:
    is_inside = threading.Event()

    def operation(session: Any) -> None:
        session.metadata["n"] = 1
        manager.add_scene_to_session("a", scene(1))
        is_inside.set()
        while True:
            pass

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        caller = Caller(lambda: manager.with_session_lock("a", operation))
        assert is_inside.wait(PATIENCE_SECONDS)
        (waiting,) = queue_up(manager, lambda: manager.add_scene_to_session("a", scene(2)))
        interrupt(caller.thread)
        assert isinstance(caller.join().error, Interruption)
        assert waiting.finish()
        session = manager.get_session("a")
    assert session is not None
    assert (session.metadata, [each.scene_number for each in session.scenes]) == ({}, [2])


def test_ctrl_c_in_the_main_thread_ends_its_wait_for_the_lock(database: Path) -> None:
    assert threading.current_thread() is threading.main_thread()
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        waiting = engine_of(manager)._queue._waiting

        def press() -> None:
            wait_until(lambda: waiting)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        with Holder(manager):
            pressing = Caller(press)
            with pytest.raises(KeyboardInterrupt):
                manager.add_scene_to_session("a", scene(1))
            pressing.finish()
            assert not waiting
        assert manager.add_scene_to_session("a", scene(2))
        session = manager.get_session("a")
    assert session is not None
    assert [each.scene_number for each in session.scenes] == [2]


def test_a_storm_of_interruptions_loses_no_acknowledged_write_and_sticks_nowhere(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged: set[int] = set()
    stop = threading.Event()

    def write(first: int) -> None:
        number = first
        while not stop.is_set():
            try:
                number += 1
                manager.create_session(request(), session_id=str(number))
                acknowledged.add(number)
            except Interruption:
                pass

    def survive(first: int) -> None:
        while not stop.is_set():
            with suppress(Interruption):
                write(first + len(acknowledged))

    with (
        no_unraisable_noise(monkeypatch, []),
        manager_on(database, durability="normal", lock_timeout=5) as manager,
    ):
        callers = [Caller(lambda first=first: survive(first * 10_000_000)) for first in range(1, 5)]  # type: ignore[misc]
        for _ in range(200):
            for caller in callers:
                before = len(acknowledged)
                interrupt(caller.thread)
                wait_until(lambda before=before: len(acknowledged) > before, "a write after an interruption")  # type: ignore[misc]
        stop.set()
        for caller in callers:
            caller.join()
    there = {int(session_id) for (session_id,) in ask(database, "SELECT session_id FROM sessions")}
    assert acknowledged <= there
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]
