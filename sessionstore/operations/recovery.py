"""Resetting a session whose stored data no longer validates."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from sessionstore.errors import SessionCorruptedError
from sessionstore.events import EventType
from sessionstore.identifiers import checked_identifier
from sessionstore.models import GenerationStatus, ProgressUpdate
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.operations.store import Store
from sessionstore.persistence.checksums import MISMATCH
from sessionstore.persistence.codec import EncodedRequest, SessionCodec
from sessionstore.persistence.mending import Part, StoredParts
from sessionstore.persistence.unit import UnitOfWork

RECOVERED_MESSAGE = "Session recovered from corrupted state"


def recover_corrupted(store: Store, session_id: str) -> bool:
    """Fails the session, keeping what is sound and still validates, and setting the rest aside."""
    session_id = checked_identifier(session_id, "session_id")

    def work(unit: UnitOfWork) -> bool:
        if not unit.sessions.is_there(session_id) or _is_sound(unit, session_id):
            return False
        parts = unit.mending.stored_parts(session_id)
        unit.mending.reset_damaged([session_id])
        current = unit.sessions.state(session_id)
        assert parts is not None
        assert current is not None
        changes = Changes(status=GenerationStatus.FAILED, columns={"error_message": RECOVERED_MESSAGE})
        changes.columns |= _mend(unit, session_id, parts)
        unit.sessions.recount_scenes(session_id)
        apply_changes(unit, session_id, current, changes)
        unit.history.record(session_id, EventType.RECOVERED)
        unit.publish(session_id, EventType.RECOVERED)
        return True

    return store.engine.write(work)


def _is_sound(unit: UnitOfWork, session_id: str) -> bool:
    try:
        unit.sessions.get(session_id)
    except SessionCorruptedError:
        return False
    return True


def _mend(unit: UnitOfWork, session_id: str, parts: StoredParts) -> dict[str, Any]:
    """Sets aside each part that is damaged or does not validate; the columns that replace them."""

    def damage(name: str, part: Part, decode: Callable[[str], Any]) -> str | None:
        reason = None if part.is_sound else MISMATCH
        try:
            decode(part.text)
        except ValueError as error:
            reason = (
                f"{error.error_count()} fields do not validate" if isinstance(error, ValidationError) else "no JSON"
            )
        if reason is not None:
            unit.sessions.set_aside(session_id, name, reason, part.text)
        return reason

    columns: dict[str, Any] = {}
    for number, scene in parts.scenes.items():
        if damage(f"scene {number}", scene, unit.codec.decode_scene):
            unit.scenes.delete(session_id, number)
    if damage("metadata", parts.metadata, unit.codec.decode_metadata):
        columns["metadata"] = unit.codec.encode_metadata({})
    if parts.progress is not None and damage("progress", parts.progress, ProgressUpdate.model_validate_json):
        columns |= unit.codec.encode_progress(None)
    if damage("request_data", parts.request_data, unit.codec.decode_request):
        # Which of its fields are wrong, a checksum does not tell.
        kept_text = parts.request_data.text if parts.request_data.is_sound else "{}"
        columns |= _salvage_request(unit.codec, session_id, kept_text).columns()
    return columns


def _salvage_request(codec: SessionCodec[Any, Any], session_id: str, stored: str) -> EncodedRequest:
    """A request that validates: the fields that still do, and a placeholder text for those that must be there."""
    try:
        document = from_json(stored)
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    try:
        codec.decode_request(to_json(fields).decode())
        unfit: set[str] = set()
    except ValidationError as error:
        unfit = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
    fit = {name: value for name, value in fields.items() if name not in unfit}
    for placeholders in ({}, dict.fromkeys(unfit, RECOVERED_MESSAGE)):
        with suppress(ValueError):
            return codec.encode_request(fit | placeholders)
    raise SessionCorruptedError(
        f"session {session_id!r}: its request is lost, and its model accepts no placeholder; use remove_session()",
        session_id=session_id,
        where="request_data",
    )
