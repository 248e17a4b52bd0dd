"""Who writes next. Writers of one process do not fight for SQLite's lock: they queue, and share commits.

A thread that finds nobody writing leads at once, without changing thread: a hand-off costs 27 to 55 µs, as
much as the write. One that finds a leader queues; the leader takes everybody who queued in the meantime into its
transaction. First come, first served, so nobody starves: SQLite's own back-off lets a write among eight threads
wait a second, the queue some milliseconds.

A thread may be interrupted anywhere in here and never come to pass its turn on. So a turn is only worth
something while its thread `is_here`, which ends by a plain assignment that nothing can prevent; and who waits
looks now and then whether the turn before it has been left behind.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sessionstore.persistence.engines.sqlite.errors import lock_timeout_error

# Enough for every thread of a busy process; small enough that the first in the group does not wait long.
MAX_GROUP = 64
# Threads that have just been answered together come back soon. To begin before they are there would not only commit
# more often: it would make them and the leader take the interpreter from each other with every statement.
COMPANY_SECONDS = 0.002
# How long a turn that an interrupted thread left behind is not noticed, at most.
LOOK_AGAIN_SECONDS = 0.05


class Turn:
    """One thread's place in the queue, and what it gets: `answer` is an `Outcome` or the error to raise.

    `is_alone`: the work runs on this very thread, and in a transaction of its own. `deadline`, in monotonic
    seconds, holds for the whole wait: in the queue, and for other processes.
    """

    __slots__ = ("_wake", "answer", "deadline", "is_alone", "is_here", "is_taken", "work")

    def __init__(self, work: Any, deadline: float, is_alone: bool = False) -> None:
        self.work = work
        self.deadline = deadline
        self.is_alone = is_alone
        self.is_here = False
        self.is_taken = False
        self.answer: Any = None
        self._wake: threading.Lock | None = None

    def give(self, answer: Any) -> None:
        """Answers and wakes the thread; an answer that is there stays."""
        if self.answer is None:
            self.answer = answer
        self.wake()

    def prepare_to_wait(self) -> None:
        self._wake = threading.Lock()
        self._wake.acquire()

    def wait(self, seconds: float) -> None:
        """Until woken, `seconds` at most."""
        assert self._wake is not None, "prepare_to_wait comes first"
        self._wake.acquire(timeout=max(0.0, seconds))

    def wake(self) -> None:
        """Ends the wait; harmless when repeated, and when nobody waits."""
        if self._wake is not None:
            with suppress(RuntimeError):
                self._wake.release()


class WriteQueue:
    """First come, first served; one thread at a time has the right to write. It marks its turn `is_here` first."""

    def __init__(self, lock_timeout: float) -> None:
        """`lock_timeout`: seconds that a turn waits, here and for other processes together."""
        self.lock_timeout = lock_timeout
        # Reentrant: a signal handler, or a finalizer that the garbage collector runs, may write in this very thread.
        self._mutex = threading.RLock()
        self._waiting: deque[Turn] = deque()
        self._owner: Turn | None = None
        self._awaited = 0

    def enter(self, turn: Turn) -> None:
        """Returns once the turn is answered, or has the right to write.

        Raises:
            SessionLockError: when the deadline passed while still queued.
        """
        with self._mutex:
            if self._owner is None and not self._waiting:
                self._owner = turn
                return
            if self._is_free():
                self._seat_next()
            if self._owner is None:
                self._owner = turn
                return
            turn.prepare_to_wait()
            self._waiting.append(turn)
            if len(self._waiting) == self._awaited and self._owner is not None:
                self._owner.wake()
        while not self._is_through(turn):
            left = LOOK_AGAIN_SECONDS if turn.is_taken else turn.deadline - time.monotonic()
            turn.wait(min(left, LOOK_AGAIN_SECONDS))

    def disown(self) -> None:
        """In a forked child, where the threads that were in here do not exist."""
        self._mutex = threading.RLock()

    def new_turn(self, work: Any, *, is_alone: bool) -> Turn:
        """A turn whose deadline is a lock timeout from now."""
        return Turn(work, time.monotonic() + self.lock_timeout, is_alone)

    def leave(self, turn: Turn) -> None:
        """Passes the right on, if the turn has it. `is_here` is false by now."""
        with self._mutex:
            if self._owner is turn and not self._waiting:
                self._owner = None
            elif self._is_free():
                self._seat_next()
            elif turn in self._waiting:
                self._waiting.remove(turn)

    def await_company(self, turn: Turn, count: int) -> None:
        """Has the owner wait until so many others have queued, or a moment is over."""
        with self._mutex:
            if len(self._waiting) >= count:
                return
            turn.prepare_to_wait()
            self._awaited = count
        turn.wait(COMPANY_SECONDS)
        self._awaited = 0

    def gather(self, group: list[Turn]) -> None:
        """Adds to the owner's group who waits for somebody to write for them, up to one who writes alone."""
        if not self._waiting:
            return
        with self._mutex:
            while self._waiting and len(group) < MAX_GROUP:
                turn = self._waiting[0]
                if self._is_open(turn):
                    if turn.is_alone:
                        break
                    turn.is_taken = True
                    group.append(turn)
                self._waiting.popleft()

    def put_back(self, turns: Iterable[Turn]) -> None:
        """Has those without an answer wait again, before everybody else, in the order they had."""
        with self._mutex:
            for turn in reversed(list(turns)):
                turn.is_taken = False
                if self._is_open(turn) and turn not in self._waiting:
                    self._waiting.appendleft(turn)

    def _is_through(self, turn: Turn) -> bool:
        """Whether the wait is over; one that nobody took in hand ends with its deadline."""
        if turn.answer is not None:
            return True
        with self._mutex:
            if self._is_free():
                # Left behind by an interrupted thread, which may have had this very turn in hand.
                self._owner = turn
            if self._owner is turn or turn.answer is not None:
                return True
            if turn.is_taken or time.monotonic() < turn.deadline:
                return False
            # Before anybody else looks: a leader must not take in hand what is refused in the same moment.
            turn.is_here = False
        raise lock_timeout_error(self.lock_timeout)

    def _is_free(self) -> bool:
        return self._owner is None or not self._owner.is_here

    def _is_open(self, turn: Turn) -> bool:
        """Whether somebody still waits there; the owner does not, even when it was not taken off the list."""
        return turn.is_here and turn.answer is None and turn is not self._owner

    def _seat_next(self) -> None:
        self._owner = None
        while self._waiting:
            turn = self._waiting[0]
            if self._is_open(turn):
                self._owner = turn
                self._waiting.popleft()
                turn.wake()
                return
            self._waiting.popleft()
