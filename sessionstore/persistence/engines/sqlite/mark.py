"""Noticing commits, without reading anything: SQLite tells a connection when others have written."""

from collections.abc import Callable

from sessionstore.persistence.engines.sqlite.connections import pragma
from sessionstore.persistence.engines.sqlite.library import sqlite3


class ChangeMark:
    """A connection for nothing else, opened at the first look. For one thread at a time."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    def look(self) -> int:
        """Differs from the last time once anybody else committed since. Takes some microseconds.

        It only means something to one connection: never one that writes itself.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            return int(pragma(self._connection, "data_version"))
        except sqlite3.Error:
            # One that failed may have failed for good: the next look gets a new one.
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
