"""Claiming sessions for workers: the oldest that waits, or one by name."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sessionstore.errors import LeaseHeldError, SessionCorruptedError, SessionFinishedError
from sessionstore.exact import exact_number
from sessionstore.identifiers import checked_identifier, new_id
from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.operations.changes import Changes, apply_changes, state_of
from sessionstore.operations.run import GenerationRun
from sessionstore.operations.store import Store
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.repository import SessionState
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.processes import this_process

logger = logging.getLogger(__name__)

# Shorter leases could run out between two looks at whether they are to be renewed.
MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 1, 24 * 3600

# Read at once behind the first one, when that cannot be claimed.
CANDIDATES = 100

Claimed = tuple[Lease, GenerationSession[Any, Any]]


def claim_next(store: Store, worker: str, lease_seconds: float) -> GenerationRun[Any, Any] | None:
    """The oldest pending session that this store's models can read, or None when there is none."""
    worker = checked_identifier(worker, "worker")
    lease_ms = checked_lease_ms(lease_seconds)

    def work(unit: UnitOfWork) -> Claimed | None:
        for session_id, version in _pending(store, unit):
            try:
                current = state_of(unit, session_id)
                if current.status is not GenerationStatus.PENDING:
                    raise corrupted(session_id, "state", "is another than an index says")
                return unit.nest(
                    partial(_claim, session_id=session_id, current=current, worker=worker, lease_ms=lease_ms)
                )
            except SessionCorruptedError as error:
                # Left to whoever can read it: its models may only be those of another worker.
                store.unreadable[session_id] = version
                logger.warning("worker %s passes over a session: %s", worker, error)
        return None

    # Workers that find nothing wait for no writer, and hold none up.
    if store.engine.read(lambda unit: next(_pending(store, unit), None)) is None:
        return None
    claimed = store.engine.write(work)
    return None if claimed is None else GenerationRun(store, *claimed)


def track(
    store: Store, session_id: str, worker: str, lease_seconds: float, recover_dead: Callable[[], int]
) -> GenerationRun[Any, Any]:
    """A named session, unless somebody who lives holds it."""
    session_id = checked_identifier(session_id, "session_id")
    worker = checked_identifier(worker, "worker")
    lease_ms = checked_lease_ms(lease_seconds)

    def work(unit: UnitOfWork) -> Claimed:
        current = state_of(unit, session_id)
        _require_claimable(unit, session_id, current)
        return _claim(unit, session_id, current, worker, lease_ms)

    try:
        claimed = store.engine.write(work)
    except LeaseHeldError:
        if recover_dead() == 0:
            raise
        claimed = store.engine.write(work)
    return GenerationRun(store, *claimed)


def checked_lease_ms(lease_seconds: object) -> int:
    """A lease in milliseconds, when it can be kept alive. Raises TypeError or ValueError."""
    seconds = exact_number(lease_seconds)
    if seconds is None:
        raise TypeError(f"lease_seconds must be a number of seconds, not {type(lease_seconds).__name__}")
    if not MIN_LEASE_SECONDS <= seconds <= MAX_LEASE_SECONDS:
        raise ValueError(f"lease_seconds must be from {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS}")
    return round(seconds * 1000)


def _pending(store: Store, unit: UnitOfWork) -> Iterator[tuple[str, int]]:
    """Id and version of the pending sessions, oldest first, but for those that could not be read as they are now."""
    key = ("", "")
    found = unit.choices.pending_after(*key, 1)
    # A damaged key must not lead back to where it was already looked.
    while found and (following := (str(found[-1].created_at), found[-1].session_id)) > key:
        for row in found:
            if store.unreadable.get(row.session_id) != row.version:
                yield row.session_id, row.version
        key = following
        found = unit.choices.pending_after(*key, CANDIDATES)


def _require_claimable(unit: UnitOfWork, session_id: str, current: SessionState) -> None:
    latest = unit.runs.latest(session_id)
    if current.status.is_terminal():
        raise SessionFinishedError(
            f"session {session_id!r} is {current.status}; retry_session() puts it back to pending",
            session_id=session_id,
        )
    if latest is not None and latest.outcome is None:
        raise LeaseHeldError(
            f"session {session_id!r} is attempt {latest.lease.attempt} of worker {latest.lease.worker!r} until "
            f"{latest.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC or longer; wait for it, or cancel_session()",
            session_id=session_id,
            holder=latest.lease.worker,
        )


def _claim(unit: UnitOfWork, session_id: str, current: SessionState, worker: str, lease_ms: int) -> Claimed:
    lease = Lease(session_id, current.attempt + 1, worker, new_id(unit.now), lease_ms)
    apply_changes(unit, session_id, current, Changes(status=GenerationStatus.PROCESSING, attempt=lease.attempt))
    unit.runs.start(lease, this_process())
    session = unit.sessions.get(session_id)
    assert session is not None
    return lease, session
