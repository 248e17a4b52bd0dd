"""The processes of these tests: `python -m tests.faults.races.workers NAME DATABASE ...`."""

import hashlib
import importlib
import itertools
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.persistence.engines.sqlite import checkpoints, guard, library
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from tests import workers
from tests.concurrency import engine_of, manager_on, request
from tests.workers import say, wait_for_go

# So many, instead of 500: a checkpoint every few milliseconds.
COMMITS_BETWEEN_CHECKPOINTS = 20
# Who goes on for ever ends with the test that started it, also when that is killed.
STARTER = os.getppid()


class Racer(workers.Worker):
    """A process of these tests."""

    module = "tests.faults.races.workers"
    patience_seconds = 900  # the long run; in the short one pytest is less patient

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None


def store_on(database: Path, lock: str) -> SessionManager:
    """A store that checkpoints often; with `lock` "without", it does not hold the write lock meanwhile."""
    checkpoints.COMMITS_BETWEEN_CHECKPOINTS = COMMITS_BETWEEN_CHECKPOINTS
    if lock == "without":
        vars(checkpoints)["begin_immediate"] = lambda *_, **__: None
    return manager_on(database, lock_timeout=30, recovery_interval=None, summary_interval=None)


def checkpoint(database: Path, lock: str) -> None:
    """A checkpoint at each go."""
    manager = store_on(database, lock)
    engine = engine_of(manager)
    manager.get_session_count()
    say("ready")
    while True:
        wait_for_go()
        engine._checkpoints.run(engine._writer.driver)
        say("done")


def checkpoint_always(database: Path, lock: str, name: str) -> None:
    """Two checkpoints at a time, of which the second mostly finds everything copied, and some commits in between."""
    engine = engine_of(store_on(database, lock))
    say("ready")
    wait_for_go()
    while os.getppid() == STARTER:
        for _ in range(2):
            engine._checkpoints.run(engine._writer.driver)
        time.sleep(0.01)


def write_always(database: Path, lock: str, name: str) -> None:
    """Writes, and notes what is acknowledged in a file that is no database."""
    manager = store_on(database, lock)
    notes = os.open(notes_of(database, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    say("ready")
    wait_for_go()
    number = 0
    while os.getppid() == STARTER:
        number += 1
        session_id = manager.create_session(request(), session_id=f"{name}-{number}")
        os.write(notes, f"{session_id}\n".encode())


def read_long(database: Path, lock: str, name: str) -> None:
    """Holds one snapshot after the other, as a report does; nothing behind it can be moved meanwhile."""
    say("ready")
    wait_for_go()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        while os.getppid() == STARTER:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sessions").fetchone()
            time.sleep(0.2)
            connection.execute("COMMIT")
            time.sleep(0.8)


def open_and_close_always(database: Path, lock: str, name: str) -> None:
    """Opens, writes once and shuts down, which ends with a checkpoint."""
    notes = os.open(notes_of(database, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    say("ready")
    wait_for_go()
    number = 0
    while os.getppid() == STARTER:
        number += 1
        with store_on(database, lock) as manager:
            session_id = manager.create_session(request(), session_id=f"{name}-{number}")
            os.write(notes, f"{session_id}\n".encode())


def read(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.read_bytes()


def copy(database: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(database, folder)


def hash_whole(database: Path) -> None:
    with open(database, "rb") as file:
        hashlib.file_digest(file, "sha256")


def copy_folder(database: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(database.parent, Path(folder) / "copied")


def use_another_sqlite(database: Path) -> None:
    """The one that the store does not use, as the program's own code might."""
    other = "sqlite3" if library.running().package == "pysqlite3" else "pysqlite3.dbapi2"
    with closing(importlib.import_module(other).connect(database)) as connection:
        connection.execute("SELECT count(*) FROM sessions").fetchone()


# What opens and closes the database file in a process that has it open.
WAYS: dict[str, Callable[[Path], None]] = {
    "another SQLite": use_another_sqlite,
    "read": read,
    "copytree": copy_folder,
    "copy": copy,
    "hash": hash_whole,
}


def be_careless(database: Path, name: str, protection: str, *ways: str) -> None:
    """Writes, notes what is acknowledged, and touches the file in one of these ways, in turn; on at each go.

    `protection` is all, not the guard, or none: then it is not looked either whether the files are still there.
    """
    if protection != "all":
        vars(guard)["_lock_files"] = lambda path: []
    if protection == "none":
        DatabaseFile._find_same = lambda file: (os.stat(file._main),) * 2  # type: ignore[method-assign, assignment]
    manager = manager_on(database)
    notes = os.open(notes_of(database, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, way in enumerate(itertools.cycle(ways)):
        for each in range(5):
            try:
                session_id = manager.create_session(request(), session_id=f"{name}-{number}-{each}")
            except DatabaseUnavailableError:
                say("refused")
                return
            os.write(notes, f"{session_id}\n".encode())
        WAYS[way](database)
        say("touched")
        wait_for_go()


def open_and_close(database: Path) -> None:
    """At each go, by SQLite and as a store: whoever believes to be the last one puts the WAL away."""
    say("ready")
    while True:
        wait_for_go()
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("SELECT count(*) FROM sessions").fetchone()
        manager_on(database).shutdown()
        say("closed")


def notes_of(database: Path, name: str) -> Path:
    return database.with_name(f"acknowledged-to-{name}")


def acknowledged(database: Path) -> set[str]:
    """The ids of all sessions whose creation was acknowledged to somebody."""
    return {line for notes in database.parent.glob("acknowledged-to-*") for line in notes.read_text().splitlines()}


if __name__ == "__main__":
    _, command, path, *rest = sys.argv
    commands: dict[str, Callable[..., None]] = {
        "checkpoint": checkpoint,
        "checkpoint_always": checkpoint_always,
        "write_always": write_always,
        "read_long": read_long,
        "be_careless": be_careless,
        "open_and_close": open_and_close,
        "open_and_close_always": open_and_close_always,
    }
    commands[command](Path(path), *rest)
