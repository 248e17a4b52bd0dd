"""What a foreign connection sees of runs, and does to them and to the whole database."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sessionstore import SessionManager
from tests.concurrency import ask, wait_until
from tests.dumps import query

# Of a process that nobody here can look at.
ANOTHER_MACHINE = "another-machine/pid:[1]/17/4711"


class Outage:
    """The database cannot be written, from `with` to the end of the block: somebody else holds its lock."""

    def __init__(self, database: Path, kind: str = "IMMEDIATE") -> None:
        self._connection = sqlite3.connect(database, isolation_level=None, timeout=10, check_same_thread=False)
        self._kind = kind

    def __enter__(self) -> "Outage":
        self._connection.execute(f"BEGIN {self._kind}")
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


def is_locked(database: Path) -> bool:
    """Whether somebody is writing right now."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def is_renewed(database: Path, session_id: str, seen: str) -> bool:
    return lease_end(database, session_id) > seen


def lease_end(database: Path, session_id: str) -> str:
    """When the lease of the newest attempt runs out, as the database has it."""
    statement = "SELECT lease_expires_at FROM runs WHERE session_id = ? ORDER BY attempt DESC LIMIT 1"
    ((moment,),) = ask(database, statement, session_id)
    return str(moment)


def status_of(database: Path, session_id: str = "s") -> str:
    ((status,),) = ask(database, "SELECT status FROM sessions WHERE session_id = ?", session_id)
    return str(status)


def outcomes(database: Path, session_id: str = "s") -> list[str | None]:
    """How each attempt ended; None for the one that has not."""
    rows = ask(database, "SELECT outcome FROM runs WHERE session_id = ? ORDER BY attempt", session_id)
    return [outcome for (outcome,) in rows]


def move_to_another_machine(database: Path, session_id: str) -> None:
    """From now on nobody here can tell whether the process of its run lives: only its lease says so."""
    query(database, "UPDATE runs SET process = ? WHERE session_id = ?", ANOTHER_MACHINE, session_id)


def await_passes(manager: SessionManager, count: int) -> None:
    """Returns when the manager has looked for interrupted sessions so many times more, from begin to end."""
    (job,) = [job for job in manager._upkeep._loop._jobs if job.name == "recovering interrupted sessions"]
    wanted = job.passes_begun + count
    wait_until(lambda: job.passes_finished >= wanted, "looks for interrupted sessions")


def await_ticks(manager: SessionManager, count: int) -> None:
    """Waits for looks of the heartbeats that begin after this."""
    loop = manager._store.heartbeats._loop
    assert loop is not None
    (job,) = loop._jobs
    wanted = job.passes_begun + count
    wait_until(lambda: job.passes_finished >= wanted, "heartbeats")
