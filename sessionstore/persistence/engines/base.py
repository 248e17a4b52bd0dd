"""What every engine promises: units of work that commit, join and close in the same way."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from sessionstore.clock import Clock, as_utc
from sessionstore.errors import SessionManagerError
from sessionstore.events import CallbackRegistry, SessionEvent
from sessionstore.models import Finding
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines.gate import Gate
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.unit import UnitOfWork

T = TypeVar("T")
Work = Callable[[UnitOfWork], T]


class Engine(ABC):
    """Runs units of work against one database. Every method may be called from any thread.

    Inside `transaction()`, whatever else the same thread asks for joins it. Events are published on the
    calling thread once the outermost transaction is committed.
    """

    def __init__(self, *, clock: Clock, codec: SessionCodec[Any, Any], callbacks: CallbackRegistry) -> None:
        self.gate = Gate()
        self._clock = clock
        self._codec = codec
        self._callbacks = callbacks
        self._joined = threading.local()
        self._closing = threading.RLock()
        self._is_closed = False

    def write(self, work: Work[T]) -> T:
        """Runs `work` in a transaction; it is durable when this returns.

        `work` may run more than once and on another thread (see `UnitOfWork`).

        Raises:
            SessionLockError: when the right to write was not had within `lock_timeout` seconds.
            DatabaseUnavailableError: when the database failed; `in_doubt` when it failed in the commit.
            ManagerClosedError: after `close`.
        """
        with self.gate:
            outer = self._outer_unit()
            if outer is not None:
                with outer.savepoint():
                    return work(outer)
            outcome = self._run_write(work)
            self._callbacks.dispatch(outcome.events)
            return outcome.result

    def read(self, work: Work[T]) -> T:
        """Runs `work` over one snapshot. Waits for no writer. Raises as `write` does."""
        with self.gate:
            outer = self._outer_unit()
            return work(outer) if outer is not None else self._run_read(work)

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        """A write transaction on the calling thread, held until the block ends; a joined one if inside another.

        Raises as `write` does.
        """
        with self.gate:
            outer = self._outer_unit()
            if outer is not None:
                with outer.savepoint():
                    yield outer
                return
            events: list[SessionEvent] = []
            with self._hold() as unit:
                self._joined.unit = unit
                try:
                    yield unit
                finally:
                    self._joined.unit = None
                events = unit.events
            self._callbacks.dispatch(events)

    def close(self, timeout: float, last_write: Callable[[], object]) -> bool:
        """Refuses new work, lets running work finish, runs `last_write`, and closes. Idempotent.

        False when running work took over `timeout` seconds. Then the connections stay open, since closing one
        in use would end the process; call it again.

        Raises:
            SessionManagerError: inside a transaction of the calling thread, which would wait for itself.
        """
        self.refuse_inside_transaction()
        deadline = time.monotonic() + timeout
        if not self.gate.shut(timeout):
            return False
        self._limit_wait(max(0.0, deadline - time.monotonic()))
        with self._closing:
            if not self._is_closed:
                with self.gate.opened_for_closer():
                    last_write()
                    self._close_connections()
                self._is_closed = True
        return True

    def refuse_inside_transaction(self) -> None:
        """Raises SessionManagerError when the calling thread has a transaction open: closing would wait for it."""
        if self._outer_unit() is not None:
            raise SessionManagerError("shutdown() was called inside a transaction of the same thread; end that first")

    def _outer_unit(self) -> UnitOfWork | None:
        return getattr(self._joined, "unit", None)

    def _unit(self, statements: Executor) -> UnitOfWork:
        now = as_utc(self._clock(), "what the clock returned")
        return UnitOfWork(statements, now, self._codec, self._callbacks)

    @abstractmethod
    def _run_write(self, work: Work[T]) -> "Outcome[T]":
        """Runs and commits `work`, possibly together with others'."""

    @abstractmethod
    def _run_read(self, work: Work[T]) -> T:
        """Runs `work` over a snapshot."""

    @abstractmethod
    def _hold(self) -> AbstractContextManager[UnitOfWork]:
        """A transaction of the calling thread alone: committed at the end, rolled back by an exception."""

    @abstractmethod
    def _limit_wait(self, seconds: float) -> None:
        """From now on a write waits no longer than that."""

    @abstractmethod
    def _close_connections(self) -> None:
        """Closes everything; nobody uses it any more."""

    @abstractmethod
    def reclaim_space(self) -> bool:
        """Gives a bounded part of the space that deleted rows left back; True while there is more."""

    @abstractmethod
    def backup(self, path: Path) -> None:
        """Writes an exact, consistent, durable copy to a new file while the store is in use."""

    @abstractmethod
    def snapshot(self, path: Path) -> None:
        """Writes a compact copy to a new file that any tool can read, from a read-only folder too."""

    @abstractmethod
    def check(self) -> list[Finding]:
        """What is well and what is not with the database."""


class Outcome(Generic[T]):
    """What a committed unit leaves: the result of its work, and the events to publish."""

    __slots__ = ("events", "result")

    def __init__(self, result: T, events: list[SessionEvent]) -> None:
        self.result = result
        self.events = events
