"""Makes sure of a WAL that others left: what is read from it may be in memory only.

When a sync fails, Linux takes the pages for written; no later sync writes them. While the process of that commit
lives, SQLite does not count them in, and its next commit goes over them. But who opens after its death finds whole
frames, and counts them in. In a power cut they are gone, and with them everything behind them, whatever was synced
there; a checkpoint that was under way leaves the database damaged. So they are written once more.
"""

import os
import time
from pathlib import Path

from sessionstore.errors import DatabaseUnavailableError, SessionLockError
from sessionstore.persistence.engines.sqlite.connections import begin_immediate
from sessionstore.persistence.engines.sqlite.library import sqlite3

CHUNK_BYTES = 1024 * 1024


def make_sure_of_wal(driver: sqlite3.Connection, database: Path) -> None:
    """Before anything is written behind it. `driver` has the database open, in WAL mode.

    Raises:
        DatabaseUnavailableError: when the disk does not take it.
    """
    wal = Path(f"{database}-wal")
    if not wal.exists() or not wal.stat().st_size:
        return
    try:
        # Nobody appends meanwhile, or starts the WAL over.
        begin_immediate(driver, time.monotonic(), lock_timeout=0)
    except SessionLockError:
        return  # Somebody writes, who has made sure of it.
    try:
        _write_again(wal)
    except OSError as error:
        raise DatabaseUnavailableError(
            f"{database}: what is in its WAL cannot be put on disk ({error.strerror}); look at the disk and the "
            "system's log, then try again"
        ) from error
    finally:
        driver.execute("ROLLBACK")


def _write_again(wal: Path) -> None:
    # SQLite has no locks on this file, which closing it would drop.
    descriptor = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
    try:
        offset = 0
        while chunk := os.pread(descriptor, CHUNK_BYTES, offset):
            offset += os.pwrite(descriptor, chunk, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
