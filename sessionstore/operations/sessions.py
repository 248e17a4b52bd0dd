"""Making, finding, changing and removing sessions."""

import base64
import binascii
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sessionstore.clock import as_utc, as_utc_rounded_up
from sessionstore.errors import IdempotencyConflictError
from sessionstore.events import EventType
from sessionstore.exact import exact_integer, exact_text
from sessionstore.identifiers import checked_identifier, new_id
from sessionstore.models import (
    SECONDS_PER_HOUR,
    GenerationSession,
    GenerationStatus,
    SessionPage,
    Tombstone,
    TombstoneReason,
)
from sessionstore.operations import retention
from sessionstore.operations.changes import apply_changes, encode_changes, status_from
from sessionstore.operations.store import Store
from sessionstore.persistence.codec import EncodedRequest
from sessionstore.persistence.listing import SessionFilter, SessionInfo
from sessionstore.persistence.payload import checked_text
from sessionstore.persistence.unit import UnitOfWork

logger = logging.getLogger(__name__)

MAX_MEDIA_TYPE_BYTES = 255


def create(
    store: Store,
    request: object,
    session_id: str | None,
    metadata: Mapping[str, Any] | None,
    idempotency_key: str | None,
) -> str:
    """Admits and inserts in one transaction; the id is chosen before it, so that it may be repeated."""
    encoded = store.codec.encode_request(request)
    encoded_metadata = store.codec.encode_metadata({} if metadata is None else metadata)
    if idempotency_key is not None:
        idempotency_key = checked_identifier(idempotency_key, "idempotency_key")
    chosen_id = new_id(store.now()) if session_id is None else checked_identifier(session_id, "session_id")

    # An id that was made here belongs to nobody yet.
    is_new = session_id is None and idempotency_key is None

    def work(unit: UnitOfWork) -> str:
        known_id = None if is_new else _find_same(unit, chosen_id, idempotency_key, encoded)
        if known_id is not None:
            return known_id
        retention.make_room(unit, store)
        unit.sessions.insert(chosen_id, encoded, encoded_metadata, idempotency_key)
        unit.history.record(chosen_id, EventType.CREATED)
        unit.publish(chosen_id, EventType.CREATED)
        return chosen_id

    return store.engine.write(work)


def _find_same(unit: UnitOfWork, session_id: str, idempotency_key: str | None, request: EncodedRequest) -> str | None:
    """The id of the session that this creation already made, or None."""
    by_key = unit.sessions.find_by_key(idempotency_key) if idempotency_key is not None else None
    known_id, stored = by_key or (session_id, unit.sessions.find_request(session_id))
    if stored is None:
        return None
    if by_key is None and idempotency_key is not None:
        reason = "was made without this idempotency_key"
    elif not unit.codec.is_same_request(stored, request):
        reason = "was made from another request"
    else:
        return known_id
    raise IdempotencyConflictError(
        f"session {known_id!r} {reason}; to make another session, give another key or id", session_id=known_id
    )


def get(store: Store, session_id: str) -> GenerationSession[Any, Any] | None:
    """The session, with the access that this is."""
    session_id = checked_identifier(session_id, "session_id")

    session = store.engine.read(lambda unit: unit.sessions.get(session_id, accessed_at=unit.now))
    if session is None:
        logger.warning("there is no session %s", session_id)
    else:
        store.accesses.note(session_id, session.last_accessed)
    return session


def update_status(
    store: Store,
    session_id: str,
    status: GenerationStatus | str,
    error_message: str | None,
    expected_status: GenerationStatus | str | None,
) -> bool:
    """Changes the status, unless it is not the expected one."""
    session_id = checked_identifier(session_id, "session_id")
    fields = {"status": status} | ({} if error_message is None else {"error_message": error_message})
    changes = encode_changes(store.codec, fields)
    expected = None if expected_status is None else status_from(expected_status, "expected_status")

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is None or (expected is not None and current.status is not expected):
            return False
        apply_changes(unit, session_id, current, changes)
        return True

    return store.engine.write(work)


def update_progress(store: Store, session_id: str, current_step: int, total_steps: int, description: str) -> bool:
    """Replaces the last tick; ticks leave nothing in the history."""
    session_id = checked_identifier(session_id, "session_id")
    columns = store.codec.encode_progress(
        {"current_step": current_step, "total_steps": total_steps, "description": description}
    )

    return store.engine.write(lambda unit: save_progress(unit, session_id, columns))


def save_progress(unit: UnitOfWork, session_id: str, columns: Mapping[str, Any]) -> bool:
    """As `update_progress`, within a unit."""
    found = unit.sessions.update(session_id, columns)
    if found:
        unit.publish(session_id, EventType.PROGRESS)
    return found


def remove(store: Store, session_id: str) -> bool:
    """Deletes one session, leaving a tombstone."""
    session_id = checked_identifier(session_id, "session_id")

    def work(unit: UnitOfWork) -> bool:
        found = unit.sessions.is_there(session_id)
        if found:
            unit.mending.reset_damaged([session_id])
            retention.bury(unit, [session_id], TombstoneReason.REMOVED)
        return found

    return store.engine.write(work)


def find_tombstone(store: Store, session_id: str) -> Tombstone | None:
    """Why a session is gone."""
    session_id = checked_identifier(session_id, "session_id")
    return store.engine.read(lambda unit: unit.history.find_tombstone(session_id))


def list_by_status(store: Store, status: GenerationStatus | str) -> list[GenerationSession[Any, Any]]:
    """All sessions of one status."""
    wanted = status_from(status)
    return store.engine.read(lambda unit: unit.listing.by_status(wanted))


def list_infos(store: Store) -> list[dict[str, Any]]:
    """The ancestor's dictionaries, a line for each session."""

    def work(unit: UnitOfWork) -> list[dict[str, Any]]:
        return [_info(store, info, unit.now) for info in unit.listing.infos()]

    return store.engine.read(work)


def _info(store: Store, info: SessionInfo, now: datetime) -> dict[str, Any]:
    return {
        "session_id": info.session_id,
        "status": info.status,
        "created_at": info.created_at.isoformat(),
        "last_accessed": store.accesses.latest(info.session_id, info.last_accessed).isoformat(),
        "age_hours": round((now - info.created_at).total_seconds() / SECONDS_PER_HOUR, 2),
        "num_scenes": info.scenes_done,
        "progress": info.completion_percentage(),
    }


def list_page(
    store: Store,
    status: GenerationStatus | str | None,
    media_type: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
    limit: int,
    cursor: str | None,
) -> SessionPage[Any, Any]:
    """One page by key, not by offset: it costs the same wherever it lies."""
    size, largest = exact_integer(limit), store.settings.max_page_sessions
    if size is None or not 1 <= size <= largest:
        raise ValueError(f"limit must be an integer from 1 to {largest:,} (setting max_page_sessions)")
    chosen = SessionFilter(
        None if status is None else status_from(status),
        None if media_type is None else checked_text(media_type, "media_type", MAX_MEDIA_TYPE_BYTES),
        None if created_after is None else as_utc(created_after, "created_after"),
        None if created_before is None else as_utc_rounded_up(created_before, "created_before"),
    )
    after = None if cursor is None else _decode_cursor(cursor)
    # One more than asked for tells whether there is another page.
    found = store.engine.read(lambda unit: unit.listing.page(chosen, size + 1, after))
    sessions = found[:size]
    next_cursor = _encode_cursor(sessions[-1]) if len(found) > size else None
    return SessionPage.model_construct(sessions=sessions, next_cursor=next_cursor)


def _encode_cursor(last: GenerationSession[Any, Any]) -> str:
    key = f"{last.created_at.isoformat()} {last.session_id}"
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decode_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        created_at, session_id = base64.urlsafe_b64decode(exact_text(cursor, "cursor")).decode().split(" ", 1)
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is not UTC:
            raise ValueError("a cursor of ours is in UTC")
        return moment, session_id
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise ValueError("cursor must be the next_cursor of an earlier page") from None
