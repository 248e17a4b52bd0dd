"""Checkpoints: only ours, only while nobody can commit, and often enough that the WAL stays small."""

import itertools
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionstore.persistence.engines.sqlite import checkpoints
from sessionstore.persistence.engines.sqlite.checkpoints import WAL_GROWTH_BYTES, Checkpointer
from tests.concurrency import all_at_once, ask, engine_of, manager_on, request, scene


class Watched(sqlite3.Connection):
    """A connection that tells what it does; `opened` are those to the database under test."""

    opened: list["Watched"]
    autocheckpoints: list[int]
    could_commit_beside: list[bool]

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if "wal_checkpoint" in statement:
            self.could_commit_beside.append(self._somebody_can_write())
        return super().execute(statement, *parameters)

    def close(self) -> None:
        if self in self.opened:
            self.opened.remove(self)
            self.ask_autocheckpoint()
        super().close()

    def ask_autocheckpoint(self) -> None:
        self.autocheckpoints.append(super().execute("PRAGMA wal_autocheckpoint").fetchone()[0])

    def _somebody_can_write(self) -> bool:
        with closing(REAL_CONNECT(DATABASE[0], timeout=0, isolation_level=None)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True


REAL_CONNECT = sqlite3.connect
DATABASE: list[Path] = []


@pytest.fixture
def watched(database: Path, monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    """Every connection that is opened is watched."""
    Watched.opened, Watched.autocheckpoints, Watched.could_commit_beside = [], [], []
    DATABASE[:] = [database]

    def connect(target: Any, *arguments: Any, **options: Any) -> Watched:
        connection = REAL_CONNECT(target, *arguments, factory=Watched, **options)
        if target == f"{database.as_uri()}?mode=rw":
            connection.opened.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    return Watched


def test_no_connection_ever_checkpoints_by_itself(database: Path, watched: type[Watched]) -> None:
    with manager_on(database, durability="normal") as manager:
        session_id = manager.create_session(request())
        all_at_once([partial(manager.get_session, session_id)] * 12)
        manager.with_session_lock(session_id, lambda session: session.metadata.update(n=1))
        manager.check()
        manager.backup(database.with_name("backup.db"))
        manager.snapshot(database.with_name("snapshot.db"))
        for connection in watched.opened:
            connection.ask_autocheckpoint()
    assert watched.opened == []
    assert len(watched.autocheckpoints) >= 8
    assert set(watched.autocheckpoints) == {0}


@pytest.fixture
def _every_100_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "COMMITS_BETWEEN_CHECKPOINTS", 100)


@pytest.mark.usefixtures("_every_100_commits")
def test_checkpoints_happen_only_while_nobody_can_commit(database: Path, watched: type[Watched]) -> None:
    with manager_on(database, durability="normal") as manager:

        def write() -> None:
            for _ in range(150):
                manager.create_session(request())

        all_at_once([write] * 4)
        for _ in range(300):
            manager.update_session_progress("absent", 1, 2, "x")
    assert len(watched.could_commit_beside) >= 3
    assert set(watched.could_commit_beside) == {False}


@pytest.mark.usefixtures("_every_100_commits")
def test_a_checkpoint_that_finds_another_process_writing_waits_for_the_next_occasion(
    database: Path, watched: type[Watched]
) -> None:
    with manager_on(database, durability="normal") as manager:
        session_id = manager.create_session(request())
        engine = engine_of(manager)
        with closing(REAL_CONNECT(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            engine._checkpoints.run(engine._writer.driver)
            assert watched.could_commit_beside == []
        for number in range(150):
            assert manager.add_scene_to_session(session_id, scene(number % 10))
        assert watched.could_commit_beside == [False]


def grow(database: Path) -> int:
    """The largest size that the WAL had during thousands of writes."""
    wal, largest = Path(f"{database}-wal"), 0
    with manager_on(database, durability="normal") as manager:
        session_id = manager.create_session(request())
        for number in range(2500):
            manager.add_scene_to_session(session_id, scene(number % 20))
            largest = max(largest, wal.stat().st_size)
    return largest


def test_the_wal_stays_bounded_over_thousands_of_writes(database: Path) -> None:
    assert grow(database) < 2 * WAL_GROWTH_BYTES


def test_control_without_checkpoints_the_wal_grows_beyond_that(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpointer, "is_due", lambda checkpointer, wal_bytes: False)
    assert grow(database) > 2 * WAL_GROWTH_BYTES


def test_a_long_reader_keeps_its_snapshot_while_checkpoints_run(database: Path) -> None:
    with manager_on(database, durability="normal") as manager:
        session_id = manager.create_session(request())
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            count = "SELECT count(*) FROM scenes"
            assert reader.execute(count).fetchone() == (0,)
            for number in range(600):
                manager.add_scene_to_session(session_id, scene(number))
            assert reader.execute(count).fetchone() == (0,)
            reader.execute("COMMIT")
            assert reader.execute(count).fetchone() == (600,)


def test_a_checkpoint_that_fails_is_logged_and_costs_no_write(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    with manager_on(database, durability="normal") as manager:
        engine = engine_of(manager)
        checkpoints = engine._checkpoints
        kept, checkpoints._connection = checkpoints._connection, sqlite3.connect(":memory:")
        checkpoints._connection.close()
        for _ in range(300):
            manager.create_session(request())
        checkpoints._connection = kept
        assert manager.get_session_count() == 300
    assert "could not be checkpointed" in caplog.text


def test_a_reader_that_keeps_the_wal_from_starting_over_is_warned_of_once(
    database: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "HELD_BACK_BYTES", 100 * 4096)
    with manager_on(database, durability="normal") as manager:
        checkpoint = engine_of(manager)._commits.checkpoint
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            for _ in range(2):
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM sessions").fetchone()
                for _ in range(100):
                    manager.create_session(request())
                for _ in range(2):
                    checkpoint()
                reader.execute("COMMIT")
                checkpoint()
    warnings = [record.message for record in caplog.records if "cannot be cut back" in record.message]
    assert len(warnings) == 2


def test_after_shutdown_everything_is_in_the_one_file(database: Path) -> None:
    with manager_on(database) as manager:
        for number in itertools.repeat(None, 100):
            assert number is None
            manager.create_session(request())
    alone = database.with_name("alone.db")
    shutil.copy(database, alone)
    assert ask(alone, "SELECT count(*) FROM sessions") == [(100,)]
    assert not Path(f"{database}-wal").exists()
    assert not Path(f"{database}-shm").exists()
