"""What happened to a session, and who wants to hear of it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Any

from sessionstore.exact import exact_text
from sessionstore.models import GenerationSession, GenerationStatus, SessionCallback, TombstoneReason

logger = logging.getLogger(__name__)


class EventType(StrEnum):
    """What `register_session_callback` can be asked for."""

    CREATED = "created"
    STATUS_CHANGED = "status_changed"
    PROGRESS = "progress"
    SCENE_ADDED = "scene_added"
    SCENES_SET = "scenes_set"
    UPDATED = "updated"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REMOVED = "removed"
    EXPIRED = "expired"
    EVICTED = "evicted"
    RECOVERED = "recovered"


# What else a change to one of these statuses is announced as. Found by its value, too: rows of the history hold that.
FINISH_ANNOUNCED_AS: dict[str, EventType] = {
    GenerationStatus.COMPLETED: EventType.COMPLETED,
    GenerationStatus.FAILED: EventType.FAILED,
    GenerationStatus.CANCELLED: EventType.CANCELLED,
}

# What a departure is announced as: to who hears of it, a session that was cleared away was removed.
DEPARTURE_ANNOUNCED_AS: dict[str, EventType] = {
    TombstoneReason.EXPIRED: EventType.EXPIRED,
    TombstoneReason.EVICTED: EventType.EVICTED,
    TombstoneReason.REMOVED: EventType.REMOVED,
    TombstoneReason.CLEARED: EventType.REMOVED,
}


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One committed change, with the session as the change left it (or, when it is gone, found it)."""

    type: EventType
    session_id: str
    session: GenerationSession[Any, Any]


class CallbackRegistry:
    """Callbacks by event type. Any thread may register while others dispatch; `is_silent` while there are none."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Tuples are replaced, never changed, so that dispatching needs no lock.
        self._callbacks: dict[EventType, tuple[SessionCallback, ...]] = {}
        self.is_silent = True

    def register(self, event_type: str, callback: SessionCallback) -> None:
        """Adds `callback`; the same one twice is called twice.

        Raises:
            ValueError: for an event type that does not exist.
            TypeError: for a callback that cannot be called.
        """
        known = checked_registration(event_type, callback)
        with self._lock:
            self._callbacks[known] = (*self._callbacks.get(known, ()), callback)
            self.is_silent = False

    def unregister(self, event_type: str, callback: SessionCallback) -> bool:
        """Takes one registration of `callback` back; False when there was none.

        Raises:
            ValueError: for an event type that does not exist.
        """
        known = known_event_type(event_type)
        with self._lock:
            remaining = list(self._callbacks.get(known, ()))
            if callback not in remaining:
                return False
            remaining.remove(callback)
            self._callbacks[known] = tuple(remaining)
            self.is_silent = not any(self._callbacks.values())
            return True

    def wants(self, event_type: EventType) -> bool:
        """Whether anybody listens: snapshots nobody looks at are not loaded."""
        return bool(self._callbacks.get(event_type))

    def dispatch(self, events: Iterable[SessionEvent]) -> None:
        """Calls everybody, in order, on this thread. A callback that raises is logged and harms nobody."""
        for event in events:
            for callback in self._callbacks.get(event.type, ()):
                try:
                    callback(event.session_id, event.session)
                except Exception:
                    logger.exception("a %s callback failed", event.type, extra={"session_id": event.session_id})


def checked_registration(event_type: str, callback: object) -> EventType:
    """The type that is listened to. Raises as `CallbackRegistry.register` does."""
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {type(callback).__name__}")
    return known_event_type(event_type)


def known_event_type(name: str) -> EventType:
    """The type of that name. Raises ValueError when there is none."""
    try:
        return EventType(exact_text(name, "event_type"))
    except (TypeError, ValueError):
        known = ", ".join(EventType)
        raise ValueError(f"event_type must be one of {known}") from None
