"""The way in: knows which threads are inside, so that closing can refuse new calls and wait for these.

Interruptions (a signal handler, an asynchronous exception) arrive where a Python function is entered, where a C
function has returned, and where a loop jumps back; never between two plain assignments. So what must not be
left half done is an attribute set right before `try` and reset first in `finally`.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

from sessionstore.errors import DatabaseUnavailableError, ManagerClosedError
from sessionstore.persistence.unit import UnitOfWork

A = TypeVar("A")
T = TypeVar("T")

# How often a closing store looks whether the last call has left; nobody else waits for it.
LEAVING_POLL_SECONDS = 0.005


class Place:
    """One thread in one store: whether it is inside a call, and the open unit of work that its calls join.

    A signal handler that must not cut a call short leaves what it would raise in `raised_at_the_end`.
    """

    __slots__ = ("__weakref__", "is_forking", "is_inside", "raised_at_the_end", "unit")

    def __init__(self) -> None:
        self.is_inside = False
        self.is_forking = False
        self.unit: UnitOfWork | None = None
        self.raised_at_the_end: BaseException | None = None

    def leave(self) -> None:
        """To be called once the thread is not inside any more."""
        error, self.raised_at_the_end = self.raised_at_the_end, None
        if error is not None:
            raise error


class _PlaceOfThread(threading.local):
    def __init__(self, places: "WeakSet[Place]") -> None:
        self.place = Place()
        places.add(self.place)


class Gate:
    """Every call goes through `run`. A thread that is inside may enter again, even while the gate is shut.

    So a running transaction, and callbacks of a committed one, can finish what they began. Entering takes no
    lock: a thread marks its own place, then looks whether the gate was shut; the closer shuts first, then looks
    at the places.
    """

    def __init__(self) -> None:
        self._places: WeakSet[Place] = WeakSet()
        self._of_thread = _PlaceOfThread(self._places)
        self._shut = False
        self._fork: threading.Event | None = None
        self._process = os.getpid()

    @property
    def place(self) -> Place:
        """The calling thread's."""
        return self._of_thread.place

    def run(self, call: Callable[[Place, A], T], argument: A) -> T:
        """The result of `call`, which gets the place of its thread first.

        Raises:
            ManagerClosedError: when the gate is shut, and the thread is not inside already.
            DatabaseUnavailableError: in a forked child.
        """
        place = self._of_thread.place
        if place.is_inside:
            self.require_own_process()
            return call(place, argument)
        place.is_inside = True
        try:
            self.require_open()
            result = call(place, argument)
        finally:
            place.is_inside = False
        if place.raised_at_the_end is not None:
            place.leave()
        return result

    def require_open(self) -> None:
        """To be asked once the place is marked. Raises as `run` does."""
        self.require_own_process()
        if self._fork is not None:
            self._wait_for_fork()
        if self._shut:
            raise ManagerClosedError("this manager was shut down; its sessions are safe, open a new SessionManager")

    def run_while_shut(self, call: Callable[[], object]) -> None:
        """For the closer: lets this thread in although the gate is shut."""
        place = self.place
        was_inside, place.is_inside = place.is_inside, True
        try:
            if not was_inside:
                self._wait_for_fork()
            call()
        finally:
            place.is_inside = was_inside

    def shut(self, timeout: float) -> bool:
        """Lets nobody new in, and waits until everybody is out; False when `timeout` seconds passed first.

        The calling thread's own calls do not count: it cannot wait for itself.
        """
        self.require_own_process()
        self._shut = True
        deadline = time.monotonic() + timeout
        while any(place.is_inside and place is not self.place for place in self._all_places()):
            if time.monotonic() >= deadline:
                return False
            time.sleep(LEAVING_POLL_SECONDS)
        return True

    def hold_back(self, fork: threading.Event | None) -> None:
        """Who comes from now on waits until `fork` is set; None ends that."""
        self._fork = fork

    def is_occupied(self) -> bool:
        """Whether a thread is inside, other than those that are about to fork, or has a transaction open."""
        return any(place.unit is not None or (place.is_inside and not place.is_forking) for place in self._all_places())

    def _wait_for_fork(self) -> None:
        place = self.place
        was_inside = place.is_inside
        while (fork := self._fork) is not None and not place.is_forking:
            place.is_inside = False
            fork.wait()
            place.is_inside = was_inside

    def _all_places(self) -> list[Place]:
        while True:
            try:
                return list(self._places)
            except RuntimeError:
                # Threads that call for the first time add theirs meanwhile.
                continue

    def is_elsewhere(self) -> bool:
        """Whether this process was forked off the one that opened the store."""
        return os.getpid() != self._process

    def require_own_process(self) -> None:
        """Raises DatabaseUnavailableError in a forked child."""
        if os.getpid() != self._process:
            raise DatabaseUnavailableError(
                "this manager was opened before a fork, and its connections belong to the parent process; "
                "make a new SessionManager in this one"
            )
