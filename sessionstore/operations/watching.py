"""Following one session: how it stands, then each change, across threads, processes and restarts."""

import math
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Generic

from sessionstore.clock import checked_timeout
from sessionstore.errors import SessionManagerError, WaitTimeoutError
from sessionstore.identifiers import checked_identifier
from sessionstore.models import GenerationSession, RequestT, SceneT, SessionChange
from sessionstore.operations.changes import absent
from sessionstore.operations.feed import Follower
from sessionstore.operations.readings import WAYS_TO_GO, cursor_at, position_in, read_from, read_on, read_state
from sessionstore.operations.store import Store
from sessionstore.operations.upkeep import LONGEST_WAIT_SECONDS


class SessionWatch(Iterator[SessionChange[RequestT, SceneT]], Generic[RequestT, SceneT]):
    """The iterator that `watch` returns. For one thread at a time; it may be dropped at any item.

    Nothing is lost on who comes late for an item: what happened meanwhile is read then.
    """

    def __init__(self, store: Store, session_id: str, after: str | None, timeout: float | None) -> None:
        self._store = store
        self._session_id = session_id = checked_identifier(session_id, "session_id")
        self._timeout = None if timeout is None else checked_timeout(timeout, "timeout")
        _require_outside(store, "watch()")
        if after is None:
            reading = store.engine.read(partial(read_state, session_id=session_id))
        else:
            reading = store.engine.read(partial(read_from, session_id=session_id, position=position_in(after)))
        self._items, self._given = deque(reading.items), after
        self._is_over, self._is_cut, self._is_closed = reading.is_over, reading.is_cut, False
        self._follower = Follower(session_id, *reading.position)
        if not self._is_over:
            store.feed.follow(self._follower)

    def __iter__(self) -> "SessionWatch[RequestT, SceneT]":
        return self

    def __next__(self) -> SessionChange[RequestT, SceneT]:
        change = self.next_within(self._timeout)
        if change is None:
            self.close()
            raise StopIteration
        return change

    @property
    def cursor(self) -> str:
        """Where it stands, for `watch(after=...)`: behind the last item, and events of other sessions since."""
        if self._given is not None and (self._items or self._is_cut or self._is_closed):
            return self._given
        return cursor_at((self._follower.known_to, self._follower.version))

    @property
    def is_over(self) -> bool:
        """True once all was given of a session that is finished or gone.

        False after the last item means that nothing came within `timeout`.
        """
        return self._is_over and not self._items

    def close(self) -> None:
        """Ends the iteration here; what is there but was not given is left to who goes on from `cursor`."""
        self._store.feed.leave(self._follower)
        self._given, self._is_over, self._is_closed = self.cursor, self.is_over, True
        self._items.clear()

    def next_within(self, seconds: float | None) -> SessionChange[RequestT, SceneT] | None:
        """The next item; None when none came in so many seconds (None for ever), or none will come."""
        _require_outside(self._store, "watch()")
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while not self._items:
            # Also of a callback, which could read on while the store waits for it.
            self._store.engine.gate.require_open()
            if self._is_over or self._is_closed or not self._follower.wait(_seconds_until(deadline)):
                return None
            self._read_on()
        change = self._items.popleft()
        self._given = change.cursor
        return change

    def _read_on(self) -> None:
        follower = self._follower
        position = (follower.known_to, follower.version)
        reading = self._store.engine.read(partial(read_on, session_id=self._session_id, position=position))
        self._items, self._is_over, self._is_cut = deque(reading.items), reading.is_over, reading.is_cut
        follower.move(*reading.position)
        self._store.feed.look_again()
        if self._is_over:
            self._store.feed.leave(follower)


def wait_for(store: Store, session_id: str, timeout: float | None) -> GenerationSession[Any, Any]:
    """The session once it is finished."""
    seconds = math.inf if timeout is None else checked_timeout(timeout, "timeout")
    deadline = time.monotonic() + seconds
    _require_outside(store, "wait_for()")
    changes, status = _watch(store, session_id, None), None
    while True:
        change = changes.next_within(_seconds_until(deadline))
        if change is None and changes.is_over:
            # It was put back before anybody could look at how it had ended.
            changes = _watch(store, session_id, changes.cursor)
        elif change is None:
            changes.close()
            raise WaitTimeoutError(
                f"session {session_id!r} is still {status} after {seconds:g} s; wait again, or cancel_session()",
                session_id=session_id,
                status=str(status),
                seconds=seconds,
            )
        elif change.event_type in WAYS_TO_GO:
            raise absent(session_id)
        elif change.session is not None and change.session.status.is_terminal():
            return change.session
        else:
            status = change.status


def _watch(store: Store, session_id: str, after: str | None) -> SessionWatch[Any, Any]:
    return SessionWatch(store, session_id, after, None)


def _require_outside(store: Store, call: str) -> None:
    if store.engine.is_inside_transaction():
        raise SessionManagerError(
            f"{call} was called inside a transaction of the same thread, and would wait for itself; end that first"
        )


def _seconds_until(deadline: float) -> float | None:
    """For a system's timer, which knows no infinity."""
    seconds = max(0.0, deadline - time.monotonic())
    return None if seconds == math.inf else min(seconds, LONGEST_WAIT_SECONDS)
