"""Moves the WAL into the database file, and only when no commit can run beside it.

SQLite 3.7.0 to 3.51.2, which is what most Pythons carry, loses acknowledged commits when one connection
checkpoints while another commits (the WAL-reset bug). So automatic checkpoints are off on every connection, and
ours run while this process holds the write lock on another one; when that cannot be had at once, they wait
for the next occasion.
"""

import logging
import time
from collections.abc import Callable

from sessionstore.errors import SessionLockError
from sessionstore.persistence.engines.sqlite.connections import begin_immediate
from sessionstore.persistence.engines.sqlite.library import sqlite3

logger = logging.getLogger(__name__)

# A commit dirties 1 to 6 pages of 4 KiB, so this is a WAL of some 8 MiB. SQLite's default of 1,000 pages would
# spend a quarter of the time at durability "normal" on checkpoints, each some milliseconds of syncing.
COMMITS_BETWEEN_CHECKPOINTS = 500
WAL_GROWTH_BYTES = 8 * 1024 * 1024
# Only a reader that stays for thousands of commits holds so much back; ours leave before the next one.
HELD_BACK_BYTES = 64 * 1024 * 1024
PAGE_BYTES = 4096


class Checkpointer:
    """Counts commits and the growth of the WAL; the thread whose turn it is to write calls it."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """`connect` makes connections of the checkpointer's own: one now, and another when that has failed."""
        self._connect = connect
        self._connection: sqlite3.Connection | None = connect()
        self._is_failing = False
        self._commits = 0
        self._wal_bytes = self._begun_at_bytes = 0
        self._has_warned = False

    def is_due(self, wal_bytes: int) -> bool:
        """To be asked after each commit, with the size of the WAL file."""
        self._commits += 1
        self._wal_bytes = wal_bytes
        return self._commits >= COMMITS_BETWEEN_CHECKPOINTS or wal_bytes - self._begun_at_bytes >= WAL_GROWTH_BYTES

    def run(self, writer: sqlite3.Connection) -> None:
        """One passive checkpoint; `writer` must be idle. A failure is logged: no acknowledged write depends on it."""
        try:
            try:
                begin_immediate(writer, time.monotonic(), lock_timeout=0)
                self._begin_counting_anew()
                if self._connection is None:
                    self._connection = self._connect()
                _, frames, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._is_failing = False
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            self._note_what_is_held_back((frames - moved) * PAGE_BYTES)
        except SessionLockError:
            pass  # Another process is writing; after the next commit it is tried again.
        except sqlite3.Error:
            self._begin_counting_anew()
            # Once for a row of failures: on a disk that is full, each write tries again.
            if not self._is_failing:
                logger.warning("the WAL could not be checkpointed; it is tried again later", exc_info=True)
            self._is_failing = True
            # It may have failed for good.
            self.close()

    def _begin_counting_anew(self) -> None:
        self._commits = 0
        self._begun_at_bytes = self._wal_bytes

    def _note_what_is_held_back(self, size: int) -> None:
        """Warns once of a reader that keeps the WAL from starting over: it is outside the store's reach."""
        is_held_back = size >= HELD_BACK_BYTES
        if is_held_back and not self._has_warned:
            logger.warning(
                "the WAL cannot be cut back and has %d MB too much: somebody has been reading an old state all the "
                "while; end the long transaction of that program",
                size // 1024**2,
            )
        self._has_warned = is_held_back

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
