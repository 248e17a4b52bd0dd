"""Callbacks that hear of the changes of every process: one thread reads the history as it grows, and tells them."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sessionstore.errors import ManagerClosedError, SessionCorruptedError, SessionManagerError
from sessionstore.events import (
    DEPARTURE_ANNOUNCED_AS,
    FINISH_ANNOUNCED_AS,
    EventType,
    checked_registration,
    known_event_type,
)
from sessionstore.maintenance import Job, MaintenanceLoop, ShouldStop
from sessionstore.models import EveryProcessCallback, GenerationSession
from sessionstore.operations.feed import Feed
from sessionstore.persistence.engines.base import Engine
from sessionstore.persistence.engines.gate import Place
from sessionstore.persistence.following import Tick, is_sound_event
from sessionstore.persistence.unit import UnitOfWork

logger = logging.getLogger(__name__)

# Read at once; what a crowd of writers commits while callbacks run waits in the database.
BATCH_EVENTS = 200
# How soon a pass that failed is repeated when nothing is committed meanwhile.
RETRY_SECONDS = 1.0
# So long at least between looks at ticks: each reads a row of every active session, and nobody sees a bar move faster.
TICKS_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Registration:
    """A callback, and the newest event there was when it came: that and older ones are not for it."""

    callback: EveryProcessCallback
    since: int


@dataclass(frozen=True, slots=True)
class News:
    """What one look found: rows of the history, and the ticks of active sessions, once it is up to date.

    `owes_ticks` when those are wanted, but it is too soon after the last time.
    """

    events: Sequence[Any]
    ticks: dict[str, Tick] | None
    owes_ticks: bool


class EveryProcessCallbacks:
    """Calls each callback once for each change since its registration, in the order of the commits.

    The thread starts with the first registration and stays until the store closes, so that no two ever tell at once.
    """

    def __init__(self, engine: Engine, feed: Feed) -> None:
        self._engine = engine
        self._feed = feed
        self._lock = threading.RLock()
        # Tuples are replaced, never changed, so that telling needs no lock.
        self._registrations: dict[EventType, tuple[Registration, ...]] = {}
        self._told_to = 0
        self._ticks: dict[str, Tick] = {}
        self._ticks_due_at = 0.0
        # Sessions that events were told of since ticks were looked at.
        self._explained: set[str] = set()
        self._loop: MaintenanceLoop | None = None
        self._thread: int | None = None

    def register(self, event_type: str, callback: EveryProcessCallback) -> None:
        """Has it hear what is committed from now on. Raises as `CallbackRegistry.register`, and in a transaction."""
        known = checked_registration(event_type, callback)
        if self._engine.is_inside_transaction():
            raise SessionManagerError(
                "a callback of every process was registered inside a transaction, before it is known where its events "
                "begin; do it before or after"
            )
        since, ticks = self._engine.read(lambda unit: (unit.changes.latest().event_id, unit.changes.ticks()))
        with self._lock:
            if not any(self._registrations.values()):
                self._told_to = since
            if known is EventType.PROGRESS and not self._registrations.get(known):
                self._ticks, self._explained = ticks, set()
            registration = Registration(callback, since)
            self._registrations[known] = (*self._registrations.get(known, ()), registration)
            self._start()

    def unregister(self, event_type: str, callback: EveryProcessCallback) -> bool:
        """Takes one registration back; False when there was none."""
        known = known_event_type(event_type)
        with self._lock:
            remaining = list(self._registrations.get(known, ()))
            found = next((each for each in remaining if each.callback == callback), None)
            if found is None:
                return False
            remaining.remove(found)
            self._registrations[known] = tuple(remaining)
            if not any(self._registrations.values()):
                self._feed.call_at_commits(None)
            return True

    def stop(self, timeout: float) -> bool:
        """Ends the thread, after the callback that is running; False when that took over `timeout` seconds."""
        with self._lock:
            loop = self._loop
        if loop is None:
            return True
        if threading.get_ident() == self._thread:
            # A callback shuts the store down; it cannot wait for itself, and is the last.
            loop.stop(0)
            return True
        return loop.stop(timeout)

    def _start(self) -> None:
        if self._loop is None:
            job = self._job = Job("telling callbacks of every process", self._tell_news, RETRY_SECONDS)
            loop = self._loop = MaintenanceLoop(job, name="sessionstore-callbacks")
            self._wake = lambda: loop.wake(job)
            loop.start()
        self._feed.call_at_commits(self._wake)

    def _tell_news(self, should_stop: ShouldStop) -> None:
        self._thread = threading.get_ident()
        self._job.interval_seconds = RETRY_SECONDS
        try:
            while any(self._registrations.values()) and not should_stop():
                news = self._engine.read(self._look)
                for event in news.events:
                    if should_stop():
                        return
                    self._tell_event(event, should_stop)
                if news.ticks is not None:
                    self._tell_progress(news.ticks, should_stop)
                if news.owes_ticks:
                    # Another pass by itself, for this may have been the last commit.
                    self._job.interval_seconds = self._ticks_due_at - self._job.last_begun
                if len(news.events) < BATCH_EVENTS:
                    return
        except ManagerClosedError:
            pass

    def _look(self, unit: UnitOfWork) -> News:
        events = unit.changes.events_of_all(self._told_to, BATCH_EVENTS)
        is_up_to_date = len(events) < BATCH_EVENTS
        # From the same snapshot, so that nobody hears of the progress of a session before its creation.
        wants_ticks = is_up_to_date and bool(self._registrations.get(EventType.PROGRESS))
        is_due = time.monotonic() >= self._ticks_due_at
        ticks = unit.changes.ticks() if wants_ticks and is_due else None
        return News(events, ticks, owes_ticks=wants_ticks and not is_due)

    def _tell_event(self, event: Any, should_stop: ShouldStop) -> None:
        # First of all: what goes wrong with it must not have it told twice.
        self._told_to = event.event_id
        if not is_sound_event(event):
            logger.warning("event %d is damaged, and told to nobody; run check()", event.event_id)
            return
        if self._registrations.get(EventType.PROGRESS):
            self._explained.add(event.session_id)
        departure = DEPARTURE_ANNOUNCED_AS.get(event.event_type)
        types = [departure or EventType(event.event_type)]
        if types[0] is EventType.STATUS_CHANGED and event.status in FINISH_ANNOUNCED_AS:
            types.append(FINISH_ANNOUNCED_AS[event.status])
        self._tell(event.session_id, types, event.event_id, should_stop, is_gone=departure is not None)

    def _tell_progress(self, ticks: dict[str, Tick], should_stop: ShouldStop) -> None:
        """Tells of sessions whose progress is another one, or that changed in a way that no event explains.

        One that became active since counts by whether it has any progress, be it that of an attempt before.
        """
        with self._lock:
            before, self._ticks = self._ticks, ticks
            explained, self._explained = self._explained, set()
        self._ticks_due_at = time.monotonic() + TICKS_SECONDS
        for session_id, tick in ticks.items():
            seen = before.get(session_id, Tick(0, None))
            is_unexplained = tick.version != seen.version and session_id not in explained
            if (tick.mark != seen.mark or is_unexplained) and not should_stop():
                self._tell(session_id, [EventType.PROGRESS], None, should_stop)

    def _tell(
        self,
        session_id: str,
        types: Sequence[EventType],
        event_id: int | None,
        should_stop: ShouldStop,
        *,
        is_gone: bool = False,
    ) -> None:
        wanted = [
            (each, registration.callback)
            for each in types
            for registration in self._registrations.get(each, ())
            if event_id is None or event_id > registration.since
        ]
        if not wanted:
            return

        def call(_: Place, session_id: str) -> None:
            session = None if is_gone else self._snapshot(session_id)
            for event_type, callback in wanted:
                if not should_stop():
                    _call(callback, event_type, session_id, session)

        try:
            # Inside the gate: a callback that runs while the store is shut down may finish what it began.
            self._engine.gate.run(call, session_id)
        except SessionCorruptedError as error:
            logger.warning("no callback is called: %s", error)

    def _snapshot(self, session_id: str) -> GenerationSession[Any, Any] | None:
        return self._engine.read(lambda unit: unit.sessions.get(session_id))


def _call(
    callback: EveryProcessCallback,
    event_type: EventType,
    session_id: str,
    session: GenerationSession[Any, Any] | None,
) -> None:
    try:
        callback(session_id, session)
    except Exception:
        logger.exception("a %s callback failed", event_type, extra={"session_id": session_id})
