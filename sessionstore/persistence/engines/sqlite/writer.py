"""The connection that writes: one transaction at a time, and proof of each commit."""

from collections.abc import Callable
from typing import Any

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.persistence.engines.sqlite.connections import HeldConnection, begin_immediate
from sessionstore.persistence.engines.sqlite.errors import in_doubt_error, is_busy, translated, translating_all
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.engines.sqlite.library import sqlite3

# Connections that a forked child must neither use nor finalize.
_inherited: list[HeldConnection] = []


class Writer:
    """For the thread whose turn it is; it must have the turn for everything here.

    `held` is the connection, or None until it is needed (again).
    """

    def __init__(self, connect: Callable[[], HeldConnection], file: DatabaseFile, lock_timeout: float) -> None:
        """`connect` makes connections that do not wait for locks: the waiting is done here, with a deadline."""
        self._connect = connect
        self._name = str(file)
        self._lock_timeout = lock_timeout
        self.held: HeldConnection | None = None

    def begin(self, deadline: float) -> HeldConnection:
        """Begins an immediate transaction.

        Raises:
            SessionLockError: when other processes did not let it begin before `deadline` (monotonic seconds).
            DatabaseUnavailableError: when the database failed.
        """
        try:
            return self._begin(deadline)
        except sqlite3.Error:
            # For good, perhaps: SQLAlchemy closes a connection that is interrupted in one of its statements, and SQLite
            # takes a file for reading only when it could not open it for writing in that moment.
            self.close()
        try:
            return self._begin(deadline)
        except sqlite3.Error as error:
            self.close()
            raise translated(error, self._name) from error

    def commit(self, held: HeldConnection, proof: list[Any]) -> None:
        """Commits; `proof` has an element once, and only if, SQLite did.

        An interruption may arrive as soon as the commit has returned, before the next line could note that. So it
        is noted by the same C function that calls it.

        Raises:
            DatabaseUnavailableError: `in_doubt`, when the commit failed.
        """
        if held is not self.held:
            raise DatabaseUnavailableError(
                f"{self._name}: the process forked inside this transaction, which is its parent's; nothing was "
                "changed here. Make a new SessionManager in the child"
            )
        try:
            proof.extend(map(held.driver.execute, ("COMMIT",)))
        except sqlite3.Error as error:
            raise in_doubt_error(error, self._name) from error

    def in_transaction(self) -> bool:
        """False when SQLite itself ended the transaction, as it does when the disk is full."""
        return self.held is not None and self.held.statements.is_in_transaction()

    @property
    def driver(self) -> sqlite3.Connection:
        """The driver's connection."""
        return self._sound_connection().driver

    def disown(self) -> None:
        """In a forked child: forgets the connection without ending it, for it is the parent's."""
        if self.held is not None:
            self.held.statements.disown()
            _inherited.append(self.held)
        self.held = None

    def close(self) -> None:
        held, self.held = self.held, None
        if held is not None:
            held.close()

    def _begin(self, deadline: float) -> HeldConnection:
        held = self.held or self._sound_connection()
        if held.driver.in_transaction:
            # Left behind by a thread that was interrupted before it could clean up; its turn is over.
            held.driver.execute("ROLLBACK")
        begin_immediate(held.driver, deadline, self._lock_timeout)
        return held

    def _sound_connection(self) -> HeldConnection:
        if self.held is not None and not self.held.is_sound():
            self.close()
        if self.held is None:
            with translating_all(self._name):
                held = self._connect()
                try:
                    _require_writable(held.driver)
                except BaseException:
                    held.close()
                    raise
            self.held = held
        return self.held


def _require_writable(driver: sqlite3.Connection) -> None:
    """Raises the driver's error for a file that was opened for reading only.

    SQLite makes do with that where it could not open a file for writing in that moment, for want of descriptors for
    one. It stays so until the connection is closed; in case of the -shm file, every connection of the process.
    """
    try:
        driver.execute("DELETE FROM alembic_version WHERE 0")
    except sqlite3.OperationalError as error:
        # Who has to wait for other processes could write after them.
        if not is_busy(error):
            raise
