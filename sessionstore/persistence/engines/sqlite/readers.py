"""Reading: held connections, each handed to one thread at a time. A reader waits for no writer."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from sessionstore.persistence.engines.sqlite.connections import HeldConnection
from sessionstore.persistence.execution import Executor

T = TypeVar("T")

# Idle readers kept open; more threads than that reading at once open and close their own.
MAX_IDLE_READERS = 8


class Readers:
    """The readers of one store."""

    def __init__(self, connect: Callable[[], HeldConnection]) -> None:
        self._connect = connect
        self._idle: deque[HeldConnection] = deque()

    def run(self, work: Callable[[Executor], T]) -> T:
        """Runs `work` over a connection on which everything is read from one moment."""
        reader = self._take()
        try:
            reader.driver.execute("BEGIN")
            result = work(reader.statements)
            reader.driver.execute("COMMIT")
        except BaseException:
            # One that failed may have failed for good: the next reader gets a new one.
            reader.close()
            raise
        if len(self._idle) < MAX_IDLE_READERS:
            self._idle.append(reader)
        else:
            reader.close()
        return result

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> HeldConnection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()
