"""Claiming sessions for workers, cancelling them, and putting them back."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sessionstore.errors import LeaseHeldError, SessionCorruptedError, SessionFinishedError, SessionNotFoundError
from sessionstore.identifiers import checked_identifier, new_id
from sessionstore.models import MAX_INTEGER, GenerationSession, GenerationStatus
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.operations.run import GenerationRun
from sessionstore.operations.store import Store
from sessionstore.persistence.repository import SessionState
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.processes import this_process

logger = logging.getLogger(__name__)

# Shorter leases could run out between two looks at whether they are to be renewed.
MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 1, 24 * 3600

CORRUPTED_MESSAGE = "What is stored of it no longer validates; recover_corrupted_session() says and keeps what is good"
MADE_AGAIN = "made again at the request of retry_session"

Claimed = tuple[Lease, GenerationSession[Any, Any]]


def claim_next(store: Store, worker: str, lease_seconds: float) -> GenerationRun[Any, Any] | None:
    """The oldest pending session, or None when there is none."""
    checked_identifier(worker, "worker")
    lease_ms = checked_lease_ms(lease_seconds)

    def work(unit: UnitOfWork) -> Claimed | None:
        while (session_id := _oldest_pending(unit)) is not None:
            current = unit.sessions.state(session_id)
            assert current is not None
            try:
                return unit.nest(
                    partial(_claim, current=current, session_id=session_id, worker=worker, lease_ms=lease_ms)
                )
            except SessionCorruptedError as error:
                # It would stand at the head of the queue for ever.
                logger.warning("a session that cannot be read is failed: %s", error)
                changes = Changes(status=GenerationStatus.FAILED, columns={"error_message": CORRUPTED_MESSAGE})
                apply_changes(unit, session_id, current, changes)
        return None

    # Workers that find nothing wait for no writer, and hold none up.
    if store.engine.read(_oldest_pending) is None:
        return None
    claimed = store.engine.write(work)
    return None if claimed is None else GenerationRun(store, *claimed)


def track(
    store: Store, session_id: str, worker: str, lease_seconds: float, recover_dead: Callable[[], int]
) -> GenerationRun[Any, Any]:
    """A named session, unless somebody who lives holds it."""
    checked_identifier(session_id, "session_id")
    checked_identifier(worker, "worker")
    lease_ms = checked_lease_ms(lease_seconds)

    def work(unit: UnitOfWork) -> Claimed:
        current = unit.sessions.state(session_id)
        if current is None:
            raise SessionNotFoundError(
                f"there is no session {session_id!r}; find_tombstone() says whether there was one",
                session_id=session_id,
            )
        if current.status.is_terminal():
            raise SessionFinishedError(
                f"session {session_id!r} is {current.status}; retry_session() puts it back to pending",
                session_id=session_id,
            )
        latest = unit.runs.latest(session_id)
        if latest is not None and latest.outcome is None:
            raise LeaseHeldError(
                f"session {session_id!r} is attempt {latest.lease.attempt} of worker {latest.lease.worker!r} until "
                f"{latest.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC or longer; wait for it, or cancel_session()",
                session_id=session_id,
                holder=latest.lease.worker,
            )
        return _claim(unit, session_id, current, worker, lease_ms)

    try:
        claimed = store.engine.write(work)
    except LeaseHeldError:
        if recover_dead() == 0:
            raise
        claimed = store.engine.write(work)
    return GenerationRun(store, *claimed)


def cancel(store: Store, session_id: str) -> bool:
    """Cancels what is not finished; a run of it ends here. True when the session is cancelled now."""
    checked_identifier(session_id, "session_id")

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is not None and not current.status.is_terminal():
            apply_changes(unit, session_id, current, Changes(status=GenerationStatus.CANCELLED))
            return True
        return current is not None and current.status is GenerationStatus.CANCELLED

    return store.engine.write(work)


def retry(store: Store, session_id: str, scenes: Iterable[int] | None) -> bool:
    """Puts a finished session back to pending; `scenes` of it are set aside, to be made again."""
    checked_identifier(session_id, "session_id")
    numbers = _checked_numbers(scenes)

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is None or not current.status.is_terminal():
            return False
        if current.status is GenerationStatus.COMPLETED and not numbers:
            return False
        _set_aside(unit, session_id, numbers)
        apply_changes(unit, session_id, current, Changes(status=GenerationStatus.PENDING))
        return True

    return store.engine.write(work)


def _set_aside(unit: UnitOfWork, session_id: str, numbers: set[int]) -> None:
    """Keeps the saved scenes of these numbers beside the session, where they are in nobody's way."""
    parts = unit.sessions.stored_parts(session_id) if numbers else None
    if parts is None:
        return
    for number in numbers & parts.scenes.keys():
        unit.sessions.set_aside(session_id, f"scene {number}", MADE_AGAIN, parts.scenes[number])
        unit.sessions.delete_scene(session_id, number)


def _oldest_pending(unit: UnitOfWork) -> str | None:
    return next(iter(unit.sessions.oldest_ids([GenerationStatus.PENDING], 1)), None)


def _claim(unit: UnitOfWork, session_id: str, current: SessionState, worker: str, lease_ms: int) -> Claimed:
    lease = Lease(session_id, current.attempt + 1, worker, new_id(unit.now), lease_ms)
    apply_changes(unit, session_id, current, Changes(status=GenerationStatus.PROCESSING, attempt=lease.attempt))
    unit.runs.start(lease, this_process())
    session = unit.sessions.get(session_id)
    assert session is not None
    return lease, session


def checked_lease_ms(lease_seconds: object) -> int:
    """A lease in milliseconds, when it can be kept alive. Raises TypeError or ValueError."""
    if isinstance(lease_seconds, bool) or not isinstance(lease_seconds, int | float):
        raise TypeError(f"lease_seconds must be a number of seconds, not {type(lease_seconds).__name__}")
    if not MIN_LEASE_SECONDS <= lease_seconds <= MAX_LEASE_SECONDS:
        raise ValueError(f"lease_seconds must be from {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS}")
    return round(lease_seconds * 1000)


def _checked_numbers(scenes: object) -> set[int]:
    if scenes is None:
        return set()
    if isinstance(scenes, str | bytes) or not isinstance(scenes, Iterable):
        raise TypeError(f"scenes must be a list of scene numbers, not {type(scenes).__name__}")
    numbers = list(scenes)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_INTEGER:
            raise ValueError(f"scenes must be scene numbers, integers from 0 to {MAX_INTEGER}")
    return set(numbers)
