"""How sessions go: expiry, capacity, removal. Each leaves a tombstone, in the same transaction."""

import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sessionstore.clock import hours_before
from sessionstore.errors import SessionCapacityError, SessionCorruptedError
from sessionstore.events import DEPARTURE_ANNOUNCED_AS, EventType, SessionEvent
from sessionstore.exact import exact_number
from sessionstore.models import GenerationStatus, TombstoneReason
from sessionstore.operations.store import Store
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.settings import Settings

logger = logging.getLogger(__name__)

HOURS_PER_DAY = 24

UNFINISHED = tuple(status for status in GenerationStatus if not status.is_terminal())
FINISHED = tuple(status for status in GenerationStatus if status.is_terminal())

Batch = Callable[[UnitOfWork, int], int]
# A status, the instant that its age counts from, and the age in hours at which it expires.
ExpiryRule = tuple[GenerationStatus, str, float]


def never() -> bool:
    """The answer of a caller that cannot be asked to stop."""
    return False


def bury(unit: UnitOfWork, session_ids: Sequence[str], reason: TombstoneReason) -> int:
    """Deletes sessions that are there, each leaving a tombstone and an event; how many."""
    if not session_ids:
        return 0
    event_type = DEPARTURE_ANNOUNCED_AS[reason]
    if unit.wants(event_type):
        unit.events.extend(_last_looks(unit, session_ids, event_type))
    unit.history.bury(session_ids, reason)
    unit.calls.abandon(session_ids, f"its session was {reason}")
    unit.sessions.delete(session_ids)
    return len(session_ids)


def make_room(unit: UnitOfWork, store: Store) -> None:
    """Makes sure that one more session fits: expired ones go first, then what the eviction policy allows.

    Raises:
        SessionCapacityError: when that does not make room.
    """
    settings = store.settings
    if settings.max_sessions is None:
        return
    excess = unit.statistics.count() + 1 - settings.max_sessions
    if excess > 0 and _reduce(unit, store, excess) < excess:
        raise SessionCapacityError(
            f"the store holds {settings.max_sessions} sessions, as many as max_sessions allows, and eviction="
            f"{settings.eviction!r} leaves none to evict; clean up, raise max_sessions, or choose another eviction",
            max_sessions=settings.max_sessions,
        )


def enforce_capacity(store: Store) -> int:
    """After the capacity was lowered: removes what is too much, as far as the eviction policy allows."""

    def batch(unit: UnitOfWork, limit: int) -> int:
        capacity = store.settings.max_sessions
        excess = 0 if capacity is None else unit.statistics.count() - capacity
        return _reduce(unit, store, min(excess, limit)) if excess > 0 else 0

    return _in_batches(store, batch)


def _reduce(unit: UnitOfWork, store: Store, wanted: int) -> int:
    settings = store.settings
    gone = _expire(unit, _believable(unit, store, _expiry_rules(settings, settings.session_max_age_hours)), wanted)
    if gone < wanted and settings.eviction != "reject":
        evictable = FINISHED if settings.eviction == "finished" else tuple(GenerationStatus)
        gone += bury(unit, unit.choices.evictable(evictable, wanted - gone), TombstoneReason.EVICTED)
    return gone


def clean_up_expired(store: Store, max_age_hours: float | None = None, should_stop: Callable[[], bool] = never) -> int:
    """Removes what is past its limit: unfinished sessions since creation, finished ones since their finish.

    Past the limits of the settings only as far as the clock can be believed; a limit that is given is obeyed.
    """
    rules = _expiry_rules(store.settings, _max_age(store, max_age_hours))

    def batch(unit: UnitOfWork, limit: int) -> int:
        return _expire(unit, rules if max_age_hours is not None else _believable(unit, store, rules), limit)

    return _in_batches(store, batch, should_stop)


def count_expired(store: Store, max_age_hours: float | None) -> int:
    """How many sessions `clean_up_expired` would remove now."""
    rules = _expiry_rules(store.settings, _max_age(store, max_age_hours))

    def work(unit: UnitOfWork) -> int:
        return sum(
            unit.statistics.count_before(column, hours_before(unit.now, hours), status)
            for status, column, hours in rules
        )

    return store.engine.read(work)


def clean_up_failed(store: Store) -> int:
    """Removes every failed session, however young, but for those with held calls."""

    def batch(unit: UnitOfWork, limit: int) -> int:
        ids = unit.choices.evictable([GenerationStatus.FAILED], limit)
        return bury(unit, ids, TombstoneReason.CLEARED)

    return _in_batches(store, batch)


def clean_up_completed(store: Store, max_age_hours: float) -> int:
    """Removes sessions that were completed longer ago than that."""
    max_age = _checked_hours(max_age_hours)

    def batch(unit: UnitOfWork, limit: int) -> int:
        ids = unit.choices.before("finished_at", hours_before(unit.now, max_age), GenerationStatus.COMPLETED, limit)
        return bury(unit, ids, TombstoneReason.EXPIRED)

    return _in_batches(store, batch)


def clear(store: Store) -> int:
    """Removes every session."""

    def batch(unit: UnitOfWork, limit: int) -> int:
        ids = unit.choices.oldest(GenerationStatus, limit)
        unit.mending.reset_damaged(ids)
        return bury(unit, ids, TombstoneReason.CLEARED)

    return _in_batches(store, batch)


def prune_history(store: Store, should_stop: Callable[[], bool] = never) -> int:
    """Deletes events, tombstones and closed paid calls that are past their own retention."""
    settings = store.settings
    event_hours = HOURS_PER_DAY * settings.event_retention_days
    tombstone_hours = HOURS_PER_DAY * settings.tombstone_retention_days

    def past(hours: float, prune: Callable[[UnitOfWork, datetime, int], int]) -> int:
        def batch(unit: UnitOfWork, limit: int) -> int:
            is_believed = store.clock_jumps.can_be_believed(unit.now, hours)
            return prune(unit, hours_before(unit.now, hours), limit) if is_believed else 0

        return _in_batches(store, batch, should_stop)

    return (
        past(event_hours, lambda unit, before, limit: unit.history.prune_events(before, limit))
        + past(tombstone_hours, lambda unit, before, limit: unit.history.prune_tombstones(before, limit))
        + past(tombstone_hours, lambda unit, before, limit: unit.calls.prune(before, limit))
    )


def reclaim_space(store: Store, should_stop: Callable[[], bool] = never) -> None:
    """Gives the space of deleted rows back to the file system, a little at a time."""
    while not should_stop() and store.engine.reclaim_space():
        pass


def _expire(unit: UnitOfWork, rules: list[ExpiryRule], limit: int) -> int:
    due: list[str] = []
    for status, column, hours in rules:
        if len(due) < limit:
            moment = hours_before(unit.now, hours)
            due += unit.choices.before(column, moment, status, limit - len(due))
    return bury(unit, due, TombstoneReason.EXPIRED)


def _believable(unit: UnitOfWork, store: Store, rules: list[ExpiryRule]) -> list[ExpiryRule]:
    """Those whose age the clock can be believed."""
    return [rule for rule in rules if store.clock_jumps.can_be_believed(unit.now, rule[2])]


def _expiry_rules(settings: Settings, max_age_hours: float) -> list[ExpiryRule]:
    """One for each status."""
    return [
        *((status, "created_at", max_age_hours) for status in UNFINISHED),
        (GenerationStatus.FAILED, "finished_at", settings.failed_retention_hours),
        (GenerationStatus.COMPLETED, "finished_at", settings.completed_retention_hours),
        (GenerationStatus.CANCELLED, "finished_at", settings.cancelled_retention_hours),
    ]


def _in_batches(store: Store, batch: Batch, should_stop: Callable[[], bool] = never) -> int:
    """Runs `batch` in transactions of their own, so that writers get in between, until it finds no more."""
    limit = store.settings.cleanup_batch_sessions
    total = 0
    while not should_stop():
        gone = store.engine.write(lambda unit: batch(unit, limit))
        total += gone
        if gone < limit:
            break
    return total


def _last_looks(unit: UnitOfWork, session_ids: Sequence[str], event_type: EventType) -> list[SessionEvent]:
    """The sessions for their last callback. One that cannot be read any more must still be removable."""
    events = []
    for session_id in session_ids:
        try:
            session = unit.sessions.get(session_id)
        except SessionCorruptedError:
            logger.warning("a corrupted session is removed without a callback", extra={"session_id": session_id})
            continue
        if session is not None:
            events.append(SessionEvent(event_type, session_id, session))
    return events


def _max_age(store: Store, max_age_hours: float | None) -> float:
    return store.settings.session_max_age_hours if max_age_hours is None else _checked_hours(max_age_hours)


def _checked_hours(hours: Any) -> float:
    number = exact_number(hours)
    if number is None or not 0 <= number < math.inf:
        raise ValueError("max_age_hours must be a number of hours from 0 up")
    return number
