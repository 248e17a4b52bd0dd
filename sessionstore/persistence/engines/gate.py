"""The way in: counts the calls that are inside, so that closing can refuse new ones and wait for these."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from sessionstore.errors import DatabaseUnavailableError, ManagerClosedError

# How often a closing store looks whether the last call has left; nobody else waits for it.
LEAVING_POLL_SECONDS = 0.005


class Gate:
    """A context manager around every call. A thread that is inside may enter again, even while it is shut.

    So a running transaction, and callbacks of a committed one, can finish what they began. Entering takes no
    lock: a thread writes only its own entry, then looks whether the gate was shut; the closer shuts first,
    then looks at the entries.
    """

    def __init__(self) -> None:
        self._depth_of_thread: dict[int, int] = {}
        self._shut = False
        self._process = os.getpid()

    def __enter__(self) -> None:
        self._require_own_process()
        thread = threading.get_ident()
        depth = self._depth_of_thread.get(thread, 0)
        self._depth_of_thread[thread] = depth + 1
        if self._shut and not depth:
            del self._depth_of_thread[thread]
            raise ManagerClosedError("this manager was shut down; its sessions are safe, open a new SessionManager")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = threading.get_ident()
        depth = self._depth_of_thread.pop(thread)
        if depth > 1:
            self._depth_of_thread[thread] = depth - 1

    @contextmanager
    def opened_for_closer(self) -> Iterator[None]:
        """Lets the calling thread in although the gate is shut."""
        thread = threading.get_ident()
        self._depth_of_thread[thread] = self._depth_of_thread.get(thread, 0) + 1
        try:
            yield
        finally:
            self.__exit__(None, None, None)

    def shut(self, timeout: float) -> bool:
        """Lets nobody new in, and waits until everybody is out; False when `timeout` seconds passed first.

        The calling thread's own calls do not count: it cannot wait for itself.
        """
        self._require_own_process()
        self._shut = True
        deadline = time.monotonic() + timeout
        own = {threading.get_ident()}
        while set(self._depth_of_thread) - own:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LEAVING_POLL_SECONDS)
        return True

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise DatabaseUnavailableError(
                "this manager was opened before a fork, and its connections belong to the parent process; "
                "make a new SessionManager in this one"
            )
