"""Who writes next. Writers of one process do not fight for SQLite's lock: they queue, and share commits.

A thread that finds nobody writing leads at once, without changing thread: a hand-off costs 27 to 55 µs, as
much as the write. One that finds a leader queues; the next leader takes everybody who queued in the meantime
into its transaction. First come, first served, so nobody starves: SQLite's own back-off lets a write among
eight threads wait a second, the queue some milliseconds.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any

from sessionstore.persistence.engines.sqlite.errors import lock_timeout_error

# Enough for every thread of a busy process; small enough that the first in the group does not wait long.
MAX_GROUP = 64


class _State(Enum):
    QUEUED = auto()
    TAKEN = auto()
    LEADING = auto()
    ANSWERED = auto()
    LEFT = auto()


class Turn:
    """One thread's place in the queue; `work` is None for a thread that wants to write by itself.

    `deadline`, in monotonic seconds, holds for the whole wait: in the queue, and for other processes.
    """

    __slots__ = ("_wake", "deadline", "error", "outcome", "state", "work")

    def __init__(self, work: Any, deadline: float) -> None:
        self.work = work
        self.deadline = deadline
        self.state = _State.QUEUED
        self.outcome: Any = None
        self.error: Exception | None = None
        self._wake: threading.Lock | None = None

    def answer(self, outcome: Any) -> None:
        """What the caller gets: a result, or an exception to be raised in its thread."""
        if isinstance(outcome, Exception):
            self.error = outcome
        else:
            self.outcome = outcome

    def is_answered(self) -> bool:
        return self.outcome is not None or self.error is not None

    def prepare_to_wait(self) -> None:
        self._wake = threading.Lock()
        self._wake.acquire()

    def wait(self, seconds: float) -> bool:
        assert self._wake is not None
        return self._wake.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Ends the wait; harmless when repeated."""
        if self._wake is not None:
            with suppress(RuntimeError):
                self._wake.release()


class WriteQueue:
    """First come, first served; one leader at a time.

    Every change of its state can be repeated: it may be cut short by an interruption, and is then run again.
    """

    def __init__(self, lock_timeout: float) -> None:
        """`lock_timeout`: seconds that a turn waits, here and for other processes together."""
        self.lock_timeout = lock_timeout
        self._mutex = threading.Lock()
        self._waiting: deque[Turn] = deque()
        self._leader: Turn | None = None

    def submit(self, work: Any, lead: Callable[[list[Turn]], None]) -> Turn:
        """Has `work` done, by this thread's `lead` or by another leader's; returns the turn, answered.

        `lead` gets the turns of a group, its own first, and answers each of them. When it raises, whoever it
        has not answered goes back to the head of the queue.

        Raises:
            SessionLockError: when the lock timeout passed while still queued.
        """
        turn = Turn(work, time.monotonic() + self.lock_timeout)
        group = [turn]
        try:
            self._enter(turn)
            if turn.state is _State.LEADING:
                self._gather(group)
                lead(group)
        finally:
            _uninterrupted(self._leave, turn, group)
        return turn

    @contextmanager
    def alone(self) -> Iterator[Turn]:
        """The calling thread leads, and nobody follows, until the block ends.

        Raises:
            SessionLockError: when the lock timeout passed first.
        """
        turn = Turn(None, time.monotonic() + self.lock_timeout)
        try:
            self._enter(turn)
            yield turn
        finally:
            _uninterrupted(self._leave, turn, [turn])

    def _enter(self, turn: Turn) -> None:
        """Returns once the turn leads or is answered."""
        with self._mutex:
            if self._leader is None:
                turn.state = _State.LEADING
                self._leader = turn
                return
            turn.prepare_to_wait()
            self._waiting.append(turn)
        patience = turn.deadline
        while True:
            in_time = turn.wait(patience - time.monotonic())
            with self._mutex:
                if turn.state in {_State.LEADING, _State.ANSWERED}:
                    return
                if not in_time and turn.state is _State.QUEUED:
                    raise lock_timeout_error(self.lock_timeout)
            if not in_time:
                # A leader has it in hand: the answer is near, and to leave now would make it unknown.
                patience = time.monotonic() + 1

    def _gather(self, group: list[Turn]) -> None:
        with self._mutex:
            while self._waiting and self._waiting[0].work is not None and len(group) < MAX_GROUP:
                follower = self._waiting[0]
                group.append(follower)
                follower.state = _State.TAKEN
                self._waiting.popleft()

    def _leave(self, turn: Turn, group: list[Turn]) -> None:
        with self._mutex:
            for follower in reversed(group[1:]):
                self._release(follower)
            if turn in self._waiting:
                self._waiting.remove(turn)
            if self._leader is turn:
                self._leader = self._waiting[0] if self._waiting else None
            turn.state = _State.LEFT
            self._seat_leader()

    def _release(self, follower: Turn) -> None:
        """Lets a follower go with its answer, or puts one without back at the head; one that left stays away."""
        if follower.state in {_State.ANSWERED, _State.LEFT}:
            return
        if follower.is_answered():
            follower.wake()
            follower.state = _State.ANSWERED
        else:
            if follower not in self._waiting:
                self._waiting.appendleft(follower)
            follower.state = _State.QUEUED

    def _seat_leader(self) -> None:
        leader = self._leader
        if leader is not None and leader.state is _State.QUEUED:
            if leader in self._waiting:
                self._waiting.remove(leader)
            leader.wake()
            leader.state = _State.LEADING


def _uninterrupted(step: Callable[[Turn, list[Turn]], None], turn: Turn, group: list[Turn]) -> None:
    """Finishes `step` whatever signal or asynchronous exception arrives; raises that afterwards.

    `step` must be repeatable. Without this, one Ctrl-C at the wrong moment would leave the queue without a leader.
    """
    interruption: BaseException | None = None
    while True:
        try:
            step(turn, group)
            break
        except BaseException as error:  # noqa: BLE001 - raised below, once the queue is whole
            interruption = error
    if interruption is not None:
        raise interruption
