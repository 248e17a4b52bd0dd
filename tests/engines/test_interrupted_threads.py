"""Threads that are interrupted while they wait, query or hold the lock: nobody else waits for them."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

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
from tests.interruption import Interruption, interrupt

# A query that keeps SQLite busy until it is interrupted or some tenths of a second are over, and then still has rows.
BUSY_QUERY = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000)
    SELECT count(*) FROM numbers UNION ALL SELECT 2
"""


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
            unit = engine_of(manager).gate.place.unit
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
        assert not any(place.is_inside for place in engine_of(manager).gate._places)


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
