"""The processes of these tests: `python -m tests.faults.races.workers NAME DATABASE ...`."""

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite import checkpoints
from tests import workers
from tests.concurrency import engine_of, manager_on, request
from tests.workers import say, wait_for_go

# So many, instead of 500: a checkpoint every few milliseconds.
COMMITS_BETWEEN_CHECKPOINTS = 20


class Racer(workers.Worker):
    """A process of these tests."""

    module = "tests.faults.races.workers"
    patience_seconds = 120

    @property
    def pid(self) -> int:
        return self._process.pid


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
    while True:
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
    while True:
        number += 1
        session_id = manager.create_session(request(), session_id=f"{name}-{number}")
        os.write(notes, f"{session_id}\n".encode())


def read_long(database: Path, lock: str, name: str) -> None:
    """Holds one snapshot after the other, as a report does; nothing behind it can be moved meanwhile."""
    say("ready")
    wait_for_go()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        while True:
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
    while True:
        number += 1
        with store_on(database, lock) as manager:
            session_id = manager.create_session(request(), session_id=f"{name}-{number}")
            os.write(notes, f"{session_id}\n".encode())


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
        "open_and_close_always": open_and_close_always,
    }
    commands[command](Path(path), *rest)
