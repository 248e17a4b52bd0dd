"""The connection that writes: one transaction at a time, committed before anybody is told so."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sessionstore.persistence.engines.sqlite.connections import HeldConnection, begin_immediate
from sessionstore.persistence.engines.sqlite.errors import in_doubt_error, translated, translating
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.execution import Executor


class Writer:
    """For the thread whose turn it is; it must have the turn for everything here.

    `is_committed` tells, after `transaction`, whether the last one was; `wal_bytes` is the WAL's size then.
    """

    def __init__(self, connect: Callable[[], HeldConnection], file: DatabaseFile, lock_timeout: float) -> None:
        """`connect` makes connections that do not wait for locks: the waiting is done here, with a deadline."""
        self._connect = connect
        self._file = file
        self._lock_timeout = lock_timeout
        self._held: HeldConnection | None = None
        self._current = object()
        self.is_committed = False
        self.wal_bytes = 0

    @contextmanager
    def transaction(self, deadline: float) -> Iterator[Executor]:
        """An immediate transaction: durable when the block ended well, rolled back by any exception.

        Raises:
            SessionLockError: when other processes did not let it begin before `deadline` (monotonic seconds).
            DatabaseUnavailableError: `in_doubt` when the commit failed, or went into a file that is not
                there any more.
        """
        self.is_committed = False
        held = self._sound_connection()
        mine = self._current = object()
        try:
            try:
                if held.driver.in_transaction:
                    # Left behind by a thread that was interrupted before it could clean up; its turn is over.
                    held.driver.execute("ROLLBACK")
                begin_immediate(held.driver, deadline, self._lock_timeout)
            except sqlite3.Error as error:
                raise translated(error, str(self._file)) from error
            yield held.statements
            self._commit(held)
        except BaseException:
            # A thread whose turn is over must not touch the transaction of the next one.
            if self._current is mine:
                self._roll_back(held)
            raise

    def in_transaction(self) -> bool:
        """False when SQLite itself ended the transaction, as it does when the disk is full."""
        held = self._held
        return held is not None and held.is_sound() and held.driver.in_transaction

    @property
    def driver(self) -> sqlite3.Connection:
        return self._sound_connection().driver

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _commit(self, held: HeldConnection) -> None:
        try:
            held.driver.execute("COMMIT")
        except sqlite3.Error as error:
            raise in_doubt_error(error, str(self._file)) from error
        except BaseException:
            # An interruption may arrive when the commit is done: what counts is what SQLite says.
            if not held.driver.in_transaction:
                self._acknowledge()
            raise
        self._acknowledge()

    def _acknowledge(self) -> None:
        self.is_committed = True
        self.wal_bytes = self._file.verify()

    def _roll_back(self, held: HeldConnection) -> None:
        with suppress(sqlite3.Error):
            if held.is_sound() and held.driver.in_transaction:
                held.driver.execute("ROLLBACK")
            if held.is_sound() and not held.driver.in_transaction:
                return
        # It still has a transaction, or is closed: whatever state it is in, nobody shall inherit it.
        self.close()

    def _sound_connection(self) -> HeldConnection:
        if self._held is None:
            with translating(str(self._file)):
                self._held = self._connect()
        return self._held
