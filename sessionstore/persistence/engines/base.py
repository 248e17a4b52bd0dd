"""What every engine promises: units of work that commit, join and close in the same way."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from sessionstore.clock import Clock, as_utc, utc_now
from sessionstore.errors import SessionManagerError
from sessionstore.events import CallbackRegistry, SessionEvent
from sessionstore.models import Finding
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines import forks
from sessionstore.persistence.engines.gate import Gate, Place
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.unit import UnitOfWork

T = TypeVar("T")
Work = Callable[[UnitOfWork], T]
# Called now and then with the bytes that are done and those there are. What it raises ends the copying.
Progress = Callable[[int, int], object]
# Which finding was mended, and how.
Repair = tuple[str, str]


class Engine(ABC):
    """Runs units of work against one database. Every method may be called from any thread.

    Inside `write_alone` and `transaction`, whatever else the same thread asks for joins it. Events are published
    on the calling thread once the outermost transaction is committed.
    """

    def __init__(self, *, clock: Clock, codec: SessionCodec[Any, Any], callbacks: CallbackRegistry) -> None:
        self.gate = Gate()
        forks.watch_over(self)
        self._clock = clock
        self._codec = codec
        self._callbacks = callbacks
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
        return self.gate.run(self._write, work)

    def write_alone(self, work: Work[T]) -> T:
        """Runs `work` once, on this thread, in a transaction of its own, which calls inside it join.

        For work that calls somebody else's code. Raises as `write` does.
        """
        return self.gate.run(self._write_alone, work)

    def read(self, work: Work[T]) -> T:
        """Runs `work` over one snapshot. Waits for no writer. Raises as `write` does."""
        return self.gate.run(self._read, work)

    def transaction(self) -> "Block":
        """For a `with` statement: a transaction of this thread until the block ends, or a part of the one it is in.

        Raises as `write` does, when the block begins or ends.
        """
        place = self.gate.place
        return Block(self._transaction(place) if place.unit is None else place.unit.savepoint())

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
                self.gate.run_while_shut(last_write)
                with forks.held_off():
                    self._close_connections()
                self._is_closed = True
        return True

    def is_inside_transaction(self) -> bool:
        """Whether the calling thread has a transaction open."""
        return self.gate.place.unit is not None

    def refuse_inside_transaction(self) -> None:
        """Raises SessionManagerError when the calling thread has a transaction open: closing would wait for it."""
        if self.is_inside_transaction():
            raise SessionManagerError("shutdown() was called inside a transaction of the same thread; end that first")

    def _write(self, place: Place, work: Work[T]) -> T:
        if place.unit is not None:
            return place.unit.nest(work)
        outcome = self._run_write(work)
        if outcome.events:
            self._callbacks.dispatch(outcome.events)
        return outcome.result

    def _write_alone(self, place: Place, work: Work[T]) -> T:
        if place.unit is not None:
            return place.unit.nest(work)

        def joined(unit: UnitOfWork) -> T:
            place.unit = unit
            try:
                return work(unit)
            finally:
                place.unit = None
                unit.is_over = True

        outcome = self._run_write_alone(joined)
        self._callbacks.dispatch(outcome.events)
        return outcome.result

    def _read(self, place: Place, work: Work[T]) -> T:
        return self._run_read(work) if place.unit is None else work(place.unit)

    def _transaction(self, place: Place) -> Generator[None, None, None]:
        was_inside, place.is_inside = place.is_inside, True
        try:
            if not was_inside:
                self.gate.require_open()
            self._callbacks.dispatch((yield from self._hold(place)))
        finally:
            place.is_inside = was_inside
        if not was_inside:
            place.leave()

    def _unit(self, statements: Executor) -> UnitOfWork:
        now = self._clock()
        if self._clock is not utc_now:
            now = as_utc(now, "what the clock returned")
        return UnitOfWork(statements, now, self._codec, self._callbacks)

    @abstractmethod
    def _run_write(self, work: Work[T]) -> "Outcome[T]":
        """Runs and commits `work`, possibly together with others' and on another thread."""

    @abstractmethod
    def _run_write_alone(self, work: Work[T]) -> "Outcome[T]":
        """Runs `work` once, on the calling thread, and commits nothing else with it."""

    @abstractmethod
    def _run_read(self, work: Work[T]) -> T:
        """Runs `work` over a snapshot."""

    @abstractmethod
    def _hold(self, place: Place) -> Generator[None, None, list[SessionEvent]]:
        """A transaction of the calling thread around one `yield`, its unit in `place` meanwhile; returns the events.

        Committed when the generator goes on, rolled back when something is thrown into it.
        """

    @abstractmethod
    def _limit_wait(self, seconds: float) -> None:
        """From now on a write waits no longer than that."""

    @abstractmethod
    def _close_connections(self) -> None:
        """Closes everything; nobody uses it any more."""

    @abstractmethod
    def change_mark(self) -> int:
        """Differs from the last time once somebody, of whatever process, committed since. Cheap; for one thread."""

    @abstractmethod
    def reclaim_space(self) -> bool:
        """Gives a bounded part of the space that deleted rows left back; True while there is more."""

    @abstractmethod
    def storage_bytes(self) -> dict[str, int]:
        """Sizes on disk now, by what is in there. Waits for nobody; DatabaseUnavailableError when it is not there."""

    @abstractmethod
    def backup(self, path: Path, progress: Progress | None) -> None:
        """Writes an exact, consistent, durable copy to a new file while the store is in use."""

    @abstractmethod
    def snapshot(self, path: Path) -> None:
        """Writes a compact copy to a new file that any tool can read, from a read-only folder too."""

    @abstractmethod
    def check(self, *, reads_all: bool) -> list[Finding]:
        """What is well and what is not with the database; `reads_all` looks at every page of it too."""

    @abstractmethod
    def repair(self) -> list[Repair]:
        """Mends what can be mended in the database as such without losing anything; what it did."""


class Outcome(Generic[T]):
    """What a committed unit leaves: the result of its work, and the events to publish."""

    __slots__ = ("events", "result")

    def __init__(self, result: T, events: list[SessionEvent]) -> None:
        self.result = result
        self.events = events


class Block:
    """A generator with one `yield` as a `with` block.

    As contextlib's, but an interruption that arrives when the block has just begun ends it, and one that arrives
    when it is about to end does so as soon as nobody holds the exception any more.
    """

    def __init__(self, steps: Generator[None, None, None]) -> None:
        self._steps = steps

    def __enter__(self) -> None:
        try:
            next(self._steps)
        except BaseException:
            self._steps.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            next(self._steps, None)
            return
        try:
            self._steps.throw(error)
        except BaseException as raised:
            # A generator cannot let a StopIteration through; the block's own exception goes on by itself.
            if raised is not error and raised.__cause__ is not error:
                raise
