"""Forking while threads use the store: the fork waits for a moment in which none of them is inside the database.

A child has the memory of its parent as it was, but none of its other threads. What one of those held in that
moment, SQLite's mutexes and its table of locks among it, the child would wait for until somebody kills it (in one
of twenty forks beside three busy threads). So before a fork everybody who comes to a store waits at its gate, and
who is inside gets a moment to leave. Where somebody stays, the fork happens all the same, and the child is told
that it cannot open a store.
"""

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.persistence.engines.gate import Gate

# Far more than a write takes. Transactions and callbacks that take longer are what a fork does not wait for.
QUIET_SECONDS = 1.0
POLL_SECONDS = 0.0002


class Forked(Protocol):
    """A store, as far as a fork is concerned."""

    @property
    def gate(self) -> Gate: ...


_stores: "WeakSet[Forked]" = WeakSet()
# Threads that open or close a store, which is done outside of its gate.
_outside: set[int] = set()
# One at a time; reentrant, for a signal handler may fork in the middle of a fork.
_forking = threading.RLock()
_is_over = threading.Event()
_is_over.set()
_is_quiet = False
_is_usable = True


def watch_over(store: Forked) -> None:
    """From now on a fork waits for who is inside the store."""
    _stores.add(store)


@contextmanager
def held_off() -> Iterator[None]:
    """Around opening and closing: waits for the end of a fork, and a fork waits for the end of the block.

    Raises:
        DatabaseUnavailableError: in a child that was forked while the database was in use.
    """
    if not _is_usable:
        raise DatabaseUnavailableError(
            "this process was forked inside a transaction of its parent, or beside a call that did not end within "
            f"{QUIET_SECONDS:g} s, and inherited its locks; fork at another time, or use spawn or forkserver"
        )
    thread = threading.get_ident()
    try:
        _outside.add(thread)
        while not _is_over.is_set():
            _outside.discard(thread)
            _is_over.wait()
            _outside.add(thread)
        yield
    finally:
        _outside.discard(thread)


def _before() -> None:
    global _is_quiet  # noqa: PLW0603 - what the child gets to know
    for store in _all_stores():
        store.gate.place.is_forking = True
    _forking.acquire()
    _is_quiet = False
    _is_over.clear()
    for store in _all_stores():
        store.gate.hold_back(_is_over)
    deadline = time.monotonic() + QUIET_SECONDS
    while not (_is_quiet := _nobody_is_inside()) and not _is_hopeless() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _all_stores() -> list[Forked]:
    while True:
        try:
            return list(_stores)
        except RuntimeError:
            continue  # Another thread opened one meanwhile.


def _nobody_is_inside() -> bool:
    return _outside <= {threading.get_ident()} and not any(store.gate.is_occupied() for store in _all_stores())


def _is_hopeless() -> bool:
    return any(store.gate.place.unit is not None for store in _all_stores())


def _after_in_parent() -> None:
    for store in _all_stores():
        store.gate.hold_back(None)
        store.gate.place.is_forking = False
    _is_over.set()
    _forking.release()


def _after_in_child() -> None:
    global _forking, _is_usable  # noqa: PLW0603 - a child begins anew
    _is_usable = _is_usable and _is_quiet
    for store in _stores:
        # For ever, also at the end of the interpreter: to close what is the parent's could wait for its threads.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(store))
    _stores.clear()
    _outside.clear()
    _forking = threading.RLock()
    _is_over.set()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
