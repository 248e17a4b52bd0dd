"""Writers that queue share a transaction: one commit, and yet each its own result or error."""

import itertools
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.persistence.engines.sqlite.connections import HeldConnection
from sessionstore.persistence.engines.sqlite.queue import Turn, WriteQueue
from sessionstore.persistence.engines.sqlite.writer import Writer
from sessionstore.persistence.unit import UnitOfWork
from tests.concurrency import (
    PATIENCE_SECONDS,
    Caller,
    Holder,
    all_at_once,
    ask,
    engine_of,
    manager_on,
    queue_up,
    request,
    scene,
)

# What another application's trigger, or a full disk, does to a transaction: SQLite ends all of it.
ROLLS_BACK = """
    CREATE TRIGGER poison BEFORE UPDATE OF error_message ON sessions WHEN NEW.error_message = 'poison'
    BEGIN SELECT RAISE(ROLLBACK, 'poison'); END
"""
REFUSES = ROLLS_BACK.replace("ROLLBACK", "ABORT")


def add_trigger(database: Path, trigger: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(trigger)


def set_message(manager: SessionManager, session_id: str, message: str) -> bool:
    return manager.atomic_session_update(session_id, {"error_message": message})


def messages(database: Path) -> dict[str, str | None]:
    return dict(ask(database, "SELECT session_id, error_message FROM sessions"))


def commit_an_orphan(unit: UnitOfWork) -> None:
    """A work that succeeds, in a transaction whose COMMIT then fails."""
    unit._statements.core.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    unit._statements.core.exec_driver_sql(
        "INSERT INTO scenes (session_id, scene_number, position, created_at, updated_at, payload) "
        "VALUES ('nobody', 1, 0, '2026-01-01', '2026-01-01', '{}')"
    )


def test_a_lone_write_stays_on_its_thread_and_commits_once(database: Path) -> None:
    statements: list[tuple[str, int]] = []
    with manager_on(database) as manager:
        session_id = manager.create_session(request())
        driver = engine_of(manager)._writer.driver
        driver.set_trace_callback(lambda statement: statements.append((statement, threading.get_ident())))
        manager.add_scene_to_session(session_id, scene(1))
        driver.set_trace_callback(None)
    assert [statement for statement, _ in statements if statement.startswith(("BEGIN", "COMMIT", "SAVEPOINT"))] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]
    assert {thread for _, thread in statements} == {threading.get_ident()}


def test_queued_writers_share_one_commit(database: Path) -> None:
    statements: list[str] = []
    with manager_on(database) as manager:
        with Holder(manager):
            callers = queue_up(
                manager,
                *(partial(manager.create_session, request(), session_id=f"s{n}") for n in range(8)),
            )
            engine_of(manager)._writer.driver.set_trace_callback(statements.append)
        assert [caller.finish() for caller in callers] == [f"s{n}" for n in range(8)]
        engine_of(manager)._writer.driver.set_trace_callback(None)
        assert manager.get_session_count() == 8
    # One is the holder's.
    assert statements.count("COMMIT") == 2
    assert [statement for statement in statements if statement.startswith("SAVEPOINT")] == []


def test_nobody_of_a_group_returns_before_the_commit(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    commit, commits = Writer.commit, itertools.count()

    def hold_the_second_back(writer: Writer, held: HeldConnection, proof: list[Any]) -> None:
        # The first is the holder's own.
        if next(commits) == 1:
            reached.set()
            assert go_on.wait(PATIENCE_SECONDS)
        commit(writer, held, proof)

    def write(name: str) -> list[tuple[str]]:
        manager.create_session(request(), session_id=name)
        return ask(database, "SELECT session_id FROM sessions WHERE session_id = ?", name)

    with manager_on(database) as manager:
        monkeypatch.setattr(Writer, "commit", hold_the_second_back)
        with Holder(manager):
            callers = queue_up(manager, *(partial(write, name) for name in "abc"))
        assert reached.wait(PATIENCE_SECONDS)
        assert not any(caller.is_done() for caller in callers)
        assert ask(database, "SELECT count(*) FROM sessions") == [(0,)]
        go_on.set()
        assert [caller.finish() for caller in callers] == [[("a",)], [("b",)], [("c",)]]


def test_one_work_of_a_group_that_raises_harms_nobody_else(database: Path) -> None:
    def fail(unit: UnitOfWork) -> None:
        unit.sessions.delete(["a", "b"])
        raise RuntimeError("mine")

    with manager_on(database) as manager:
        for name in "ab":
            manager.create_session(request(), session_id=name)
        with Holder(manager):
            first, bad, absent, last = queue_up(
                manager,
                lambda: set_message(manager, "a", "first"),
                lambda: engine_of(manager).write(fail),
                lambda: set_message(manager, "absent", "x"),
                lambda: set_message(manager, "b", "last"),
            )
        assert (first.finish(), absent.finish(), last.finish()) == (True, False, True)
        with pytest.raises(RuntimeError, match="mine"):
            bad.finish()
    assert messages(database) == {"a": "first", "b": "last"}


def test_a_group_in_which_one_failed_begins_again_with_a_savepoint_for_each_and_the_next_one_without(
    database: Path,
) -> None:
    runs: list[str] = []
    statements: list[str] = []

    def work(name: str) -> Callable[[UnitOfWork], str]:
        def run(unit: UnitOfWork) -> str:
            runs.append(name)
            if name == "bad":
                raise RuntimeError("mine")
            return name

        return run

    def answers(*names: str) -> list[object]:
        runs.clear()
        statements.clear()
        with Holder(manager):
            callers = queue_up(manager, *(partial(engine_of(manager).write, work(name)) for name in names))
        return [caller.join().error or caller.result for caller in callers]

    with manager_on(database) as manager:
        engine_of(manager)._writer.driver.set_trace_callback(statements.append)
        assert str(answers("a", "bad", "b")) == "['a', RuntimeError('mine'), 'b']"
        assert runs == ["a", "bad", "a", "bad", "b"]
        assert sum(statement.startswith("SAVEPOINT") for statement in statements) == 2
        for expected in (1, 0):
            assert answers("c", "d") == ["c", "d"]
            assert sum(statement.startswith("SAVEPOINT") for statement in statements) == expected
        engine_of(manager)._writer.driver.set_trace_callback(None)


def test_a_constraint_that_fails_in_a_group_harms_nobody_else(database: Path) -> None:
    with manager_on(database) as manager:
        for name in "abc":
            manager.create_session(request(), session_id=name)
        add_trigger(database, REFUSES)
        with Holder(manager):
            callers = queue_up(
                manager,
                lambda: set_message(manager, "a", "ok"),
                lambda: set_message(manager, "b", "poison"),
                lambda: set_message(manager, "c", "ok"),
            )
        assert callers[0].finish()
        assert callers[2].finish()
        assert isinstance(callers[1].join().error, DatabaseUnavailableError | IntegrityError)
    assert messages(database) == {"a": "ok", "b": None, "c": "ok"}


@pytest.mark.parametrize("place", range(4))
def test_a_work_that_makes_sqlite_roll_back_the_whole_group_fails_alone(database: Path, place: int) -> None:
    names = ["a", "b", "c", "d"]
    with manager_on(database) as manager:
        for name in names:
            manager.create_session(request(), session_id=name)
        add_trigger(database, ROLLS_BACK)
        with Holder(manager):
            callers = queue_up(
                manager,
                *(
                    partial(set_message, manager, name, text)
                    for name, text in ((name, "poison" if n == place else "ok") for n, name in enumerate(names))
                ),
            )
        answers = {name: caller.join().error or caller.result for name, caller in zip(names, callers, strict=True)}
        versions = dict(ask(database, "SELECT session_id, version FROM sessions"))
        saved = messages(database)
        assert manager.create_session(request(), session_id="later") == "later"
    poisoned = names[place]
    assert isinstance(answers.pop(poisoned), DatabaseUnavailableError)
    assert answers == dict.fromkeys(answers, True)
    assert saved == {name: None if name == poisoned else "ok" for name in names}
    # Made is version 1; run again after the group broke, a work is applied once all the same.
    assert versions == {name: 1 if name == poisoned else 2 for name in names}


def test_a_commit_that_fails_leaves_everybody_of_the_group_in_doubt_and_the_store_in_order(database: Path) -> None:
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        with Holder(manager):
            callers = queue_up(
                manager,
                lambda: set_message(manager, "a", "x"),
                lambda: engine_of(manager).write(commit_an_orphan),
                lambda: manager.create_session(request(), session_id="b"),
            )
        errors = [caller.join().error for caller in callers]
        assert [getattr(error, "in_doubt", None) for error in errors] == [True] * 3
        assert all(isinstance(error, DatabaseUnavailableError) for error in errors)
        assert len({id(error) for error in errors}) == 3
        assert messages(database) == {"a": None}
        assert set_message(manager, "a", "y")
        assert Caller(lambda: set_message(manager, "a", "z")).finish()


def test_a_work_with_its_own_error_keeps_it_when_the_commit_of_the_group_fails(database: Path) -> None:
    def fail(unit: UnitOfWork) -> None:
        raise RuntimeError("mine")

    with manager_on(database) as manager:
        with Holder(manager):
            broken, mine = queue_up(
                manager,
                lambda: engine_of(manager).write(commit_an_orphan),
                lambda: engine_of(manager).write(fail),
            )
        assert isinstance(mine.join().error, RuntimeError)
        assert getattr(broken.join().error, "in_doubt", None) is True


@pytest.mark.parametrize("is_held", [False, True])
def test_a_commit_that_fails_is_in_doubt_for_a_lone_write_and_for_a_transaction(database: Path, is_held: bool) -> None:
    def orphan(_: object) -> None:
        engine_of(manager).write(commit_an_orphan)

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        with pytest.raises(DatabaseUnavailableError) as caught:
            manager.with_session_lock("a", orphan) if is_held else orphan(None)
        assert caught.value.in_doubt
        assert set_message(manager, "a", "y")
    assert ask(database, "SELECT count(*) FROM scenes") == [(0,)]


def test_a_transaction_that_sqlite_ended_saves_nothing_of_what_follows_in_it(database: Path) -> None:
    def go_on_after_the_error(_: object) -> None:
        manager.create_session(request(), session_id="before")
        with pytest.raises(DatabaseUnavailableError):
            set_message(manager, "a", "poison")
        manager.create_session(request(), session_id="after")

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        add_trigger(database, ROLLS_BACK)
        with pytest.raises(DatabaseUnavailableError):
            manager.with_session_lock("a", go_on_after_the_error)
        assert set_message(manager, "a", "later")
    assert messages(database) == {"a": "later"}


def test_a_bulk_update_in_which_sqlite_ends_the_transaction_saves_nothing(database: Path) -> None:
    texts = {"a": "ok", "b": "poison", "c": "ok"}
    with manager_on(database) as manager:
        for name in texts:
            manager.create_session(request(), session_id=name)
        add_trigger(database, ROLLS_BACK)
        with pytest.raises(DatabaseUnavailableError):
            manager.bulk_update_sessions(texts, lambda each: setattr(each, "error_message", texts[each.session_id]))
    assert messages(database) == {"a": None, "b": None, "c": None}


def test_sixteen_writers_at_once_need_far_fewer_commits_than_writes(database: Path) -> None:
    statements: list[str] = []
    with manager_on(database) as manager:

        def write(name: str) -> None:
            for number in range(20):
                manager.create_session(request(), session_id=f"{name}-{number}")

        with Holder(manager):
            engine_of(manager)._writer.driver.set_trace_callback(statements.append)
        all_at_once([partial(write, f"w{n}") for n in range(16)])
        engine_of(manager)._writer.driver.set_trace_callback(None)
        assert manager.get_session_count() == 320
    assert statements.count("COMMIT") < 320 / 2


def test_a_follower_that_wakes_late_leaves_the_group_of_the_next_leader_alone(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answered thread that still took itself for the leader would put a running group back into the queue."""
    enter, is_late, may_wake = WriteQueue.enter, threading.Event(), threading.Event()
    runs: list[str] = []

    def wake_late(queue: WriteQueue, turn: Turn) -> None:
        enter(queue, turn)
        if turn.answer is not None and threading.current_thread() is late.thread:
            is_late.set()
            assert may_wake.wait(PATIENCE_SECONDS)

    def let_it_wake(_: UnitOfWork) -> None:
        runs.append("follower")
        may_wake.set()
        late.join()

    with manager_on(database) as manager:
        write = engine_of(manager).write
        monkeypatch.setattr(WriteQueue, "enter", wake_late)
        with Holder(manager):
            _, late = queue_up(manager, lambda: write(lambda _: None), lambda: write(lambda _: "late"))
        assert is_late.wait(PATIENCE_SECONDS)
        with Holder(manager):
            callers = queue_up(manager, lambda: write(lambda _: None), lambda: write(let_it_wake))
        for caller in callers:
            caller.finish()
    assert (late.result, runs) == ("late", ["follower"])


def test_only_who_had_company_the_last_time_waits_for_it(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    awaited: list[int] = []
    monkeypatch.setattr(WriteQueue, "await_company", lambda queue, turn, count: awaited.append(count))
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        set_message(manager, "a", "alone")
        assert awaited == []
        with Holder(manager):
            callers = queue_up(manager, *(partial(set_message, manager, "a", text) for text in "xyz"))
        for caller in callers:
            caller.finish()
        for text in ("alone again", "and again"):
            set_message(manager, "a", text)
    assert awaited == [2]


def test_an_error_in_doubt_from_somebody_elses_commit_is_only_passed_on(database: Path) -> None:
    theirs = DatabaseUnavailableError("another store", in_doubt=True)

    def fail(_: object) -> None:
        raise theirs

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        with pytest.raises(DatabaseUnavailableError) as caught:
            manager.with_session_lock("a", fail)
    assert caught.value is theirs


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_every_connection_syncs_as_the_durability_says(database: Path, durability: str, synchronous: int) -> None:
    with manager_on(database, durability=durability) as manager:
        engine = engine_of(manager)
        for driver in (engine._writer.driver, engine._connect()):
            assert driver.execute("PRAGMA synchronous").fetchone() == (synchronous,)


def test_a_session_is_read_by_two_statements_however_many_scenes_it_has(database: Path) -> None:
    statements: list[str] = []
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        manager.set_session_scenes("a", [scene(number) for number in range(50)])
        manager.get_session("a")
        (reader,) = engine_of(manager)._readers._idle
        reader.driver.set_trace_callback(statements.append)
        manager.get_session("a")
        reader.driver.set_trace_callback(None)
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "SELECT", "SELECT", "COMMIT"]
