"""The thread that looks: forced races with it, and outages, on SQLite."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from sessionstore import DatabaseUnavailableError, ManagerClosedError
from sessionstore.operations import feed
from sessionstore.operations.feed import Feed, Follower
from sessionstore.operations.watching import SessionWatch
from sessionstore.persistence.engines.sqlite.mark import ChangeMark
from sessionstore.persistence.following import Point
from tests.concurrency import PATIENCE_SECONDS, Caller, engine_of, manager_on, request, scene, wait_until


def item(watch: "SessionWatch[Any, Any]") -> str:
    change = watch.next_within(PATIENCE_SECONDS)
    assert change is not None
    return change.event_type


def test_a_commit_that_was_noticed_while_a_watcher_read_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, other = manager_on(database), manager_on(database)
    for name in "ab":
        manager.create_session(request(), session_id=name)
    watch, bystander = manager.watch("a"), manager.watch("b")
    assert [item(watch), item(bystander)] == ["state", "state"]
    move = Follower.move

    def move_late(follower: Follower, known_to: Point, version: int) -> None:
        if follower is watch._follower:
            monkeypatch.setattr(Follower, "move", move)
            other.add_scene_to_session("a", scene(2))
            # The feed has seen that commit, at a time when it did not look after this watcher.
            wait_until(lambda: bystander._follower.known_to > known_to)
        move(follower, known_to, version)

    monkeypatch.setattr(Follower, "move", move_late)
    other.add_scene_to_session("a", scene(1))
    assert [item(watch), item(watch)] == ["scene_added", "scene_added"]
    for each in (manager, other):
        assert each.shutdown()


def test_wakes_of_a_watcher_that_is_never_idle_do_not_pile_up() -> None:
    follower = Follower("a", Point(0, 0), 1)
    for number in range(100):
        follower.wake()
        # It reads on by itself, and never has to wait for the wake.
        follower.move(Point(number, 0), 1)
    assert follower._wakes.qsize() <= 1
    follower.wake()
    assert follower.wait(0)


def test_watchers_that_are_woken_by_a_shutdown_find_the_store_shut_already(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    watch, stop = manager.watch("a"), Feed.stop
    assert item(watch) == "state"
    waiting = Caller(lambda: next(watch))

    def stop_and_see(feed: Feed, timeout: float) -> bool:
        # Whoever was woken up before the store is shut would go on waiting, and nobody wakes them again.
        stopped = stop(feed, timeout)
        waiting.join()
        return stopped

    monkeypatch.setattr(Feed, "stop", stop_and_see)
    assert manager.shutdown()
    assert isinstance(waiting.error, ManagerClosedError)


def test_watchers_hear_of_a_database_that_fails_and_the_next_ones_go_on(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed, "OUTAGE_LOOK_SECONDS", 0.02)
    manager, engine = manager_on(database), None
    manager.create_session(request(), session_id="a")
    watch, engine = manager.watch("a"), engine_of(manager)
    assert item(watch) == "state"
    waiting = Caller(lambda: next(watch))
    with monkeypatch.context() as broken:
        broken.setattr(ChangeMark, "look", lambda _: fail())
        broken.setattr(engine._readers, "run", lambda _: fail_translated())
        waiting.join()
    assert isinstance(waiting.error, DatabaseUnavailableError)
    after = manager.watch("a", after=watch.cursor)
    manager.add_scene_to_session("a", scene(1))
    assert item(after) == "scene_added"
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1
    assert manager.shutdown()


def test_a_watcher_outlives_a_look_that_failed(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "OUTAGE_LOOK_SECONDS", 0.02)
    manager = manager_on(database)
    manager.create_session(request(), session_id="a")
    watch, failed = manager.watch("a"), threading.Event()
    assert item(watch) == "state"

    def fail_once(mark: ChangeMark) -> int:
        monkeypatch.undo()
        failed.set()
        return fail()

    monkeypatch.setattr(ChangeMark, "look", fail_once)
    waiting = Caller(lambda: item(watch))
    assert failed.wait(PATIENCE_SECONDS)
    manager.add_scene_to_session("a", scene(1))
    assert waiting.finish() == "scene_added"
    assert manager.shutdown()


def test_a_connection_that_failed_is_replaced(database: Path) -> None:
    manager = manager_on(database)
    engine = engine_of(manager)
    engine.change_mark()
    assert engine._mark._connection is not None
    engine._mark._connection.close()
    with pytest.raises(DatabaseUnavailableError):
        engine.change_mark()
    before = engine.change_mark()
    manager.create_session(request())
    assert engine.change_mark() != before
    assert engine.change_mark() == engine.change_mark()
    assert manager.shutdown()


def fail() -> int:
    raise sqlite3.OperationalError("disk I/O error")


def fail_translated() -> None:
    raise DatabaseUnavailableError("disk I/O error")
