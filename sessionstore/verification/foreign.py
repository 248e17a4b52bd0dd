"""The parts of programs that are not the store, on its file: the only module here that knows SQLite."""

import sqlite3
import time
from contextlib import closing

from sessionstore.verification.reports import Reporter

# SQLite's own waiting looks ten times a second, and starves beside a busy store.
LOOK_SECONDS = 0.001


def hold_lock(report: Reporter, *, path: str, seconds: float) -> None:
    """Has the right to write for so long, and writes nothing."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(LOOK_SECONDS)
        report("holds")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def hold_snapshot(report: Reporter, *, path: str, seconds: float) -> None:
    """Looks at one state of the database for so long, so that nothing written since can leave the log."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN")
        before = connection.execute("SELECT count(*) FROM sessions").fetchone()
        report("holds")
        time.sleep(seconds)
        if connection.execute("SELECT count(*) FROM sessions").fetchone() != before:
            report("failed", "a reader saw its snapshot change")
        connection.execute("COMMIT")
