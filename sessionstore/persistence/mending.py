"""Mending: what there is of a damaged session, and a state in place of one that cannot be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic_core import to_json
from sqlalchemy import Select, Table, bindparam, func, select, update

from sessionstore.errors import SessionCorruptedError
from sessionstore.models import MAX_INTEGER, GenerationStatus
from sessionstore.persistence.checksums import MISMATCH, as_bytes, bound_as_stored, is_sound_text, readable, text_in
from sessionstore.persistence.codec import NO_LONGER_VALID, SessionCodec, corrupted
from sessionstore.persistence.columns import instant_from
from sessionstore.persistence.execution import Executor, MalformedTextError
from sessionstore.persistence.repository import GET_SESSION, SessionRepository
from sessionstore.persistence.scenes import GET_SCENES, is_sound_scene, scenes
from sessionstore.persistence.session_rows import (
    END,
    SESSIONS,
    SIGNED,
    is_sound_state,
    require_sound_state,
    sessions,
    signed,
    status_of,
    with_instants,
)
from sessionstore.persistence.tables import RunRow

runs = cast(Table, RunRow.__table__).c

_of_session = sessions.session_id == bindparam("id")
GET_SESSION_AS_BYTES = select(*(as_bytes(column) for column in sessions)).where(_of_session)
GET_SCENES_AS_BYTES = (
    select(*(as_bytes(column) for column in scenes))
    .where(scenes.session_id == bindparam("id"))
    .order_by(scenes.position)
)
LAST_ATTEMPT = select(func.max(runs.attempt)).where(runs.session_id == bindparam("id"))
REPLACE_STATE = update(SESSIONS).where(_of_session).values(bound_as_stored(sessions, (*SIGNED[1:], "state_checksum")))


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a session as it stands in its column; not `is_sound` when it is another than was signed."""

    text: str
    is_sound: bool


@dataclass(frozen=True, slots=True)
class StoredParts:
    """What there is of a session, whether or not it is sound, and validates."""

    request_data: Part
    metadata: Part
    progress: Part | None
    scenes: dict[int, Part]


class MendingRepository:
    """Reads what cannot be read otherwise, at the one instant `now` of its unit of work."""

    def __init__(
        self, statements: Executor, codec: SessionCodec[Any, Any], now: datetime, sessions: SessionRepository
    ) -> None:
        self._statements = statements
        self._codec = codec
        self._now = now
        self._sessions = sessions

    def stored_parts(self, session_id: str) -> StoredParts | None:
        """The texts of a session."""
        row = self._row(session_id)
        if row is None:
            return None
        tick = {
            "current_step": row.progress_step,
            "total_steps": row.progress_total,
            "description": row.progress_description,
        }
        return StoredParts(
            Part(_text(row.request_data), is_sound_text(row.request_checksum, row.request_data)),
            Part(_text(row.metadata), is_sound_text(row.metadata_checksum, row.metadata)),
            None
            if row.progress_step is None or not is_sound_state(row)
            else Part(to_json(tick).decode(), is_sound=True),
            {
                scene.scene_number: Part(_text(scene.payload), is_sound_scene(scene))
                for scene in self._scenes(session_id)
            },
        )

    def reset_damaged(self, session_ids: Sequence[str]) -> list[str]:
        """Gives sessions whose state is damaged that of one that failed now; which they were.

        Which of its values are wrong, a checksum does not tell. What can be known from elsewhere is: the scenes there
        are, the last attempt, what the request says. The creation stays, if it can be one, for days are accounted by
        it, and so does the idempotency key. All that there was is set aside.
        """
        return [session_id for session_id in session_ids if self._reset(session_id)]

    def _reset(self, session_id: str) -> bool:
        row = self._row(session_id)
        if row is None or _is_sound(row, session_id):
            return False
        content = {name: readable(value) for name, value in zip(SIGNED, row[:END], strict=True)}
        reason = NO_LONGER_VALID if is_sound_state(row) else MISMATCH
        self._sessions.set_aside(session_id, "state", reason, to_json(content).decode())
        state = dict.fromkeys(SIGNED) | {
            "session_id": session_id,
            "status": GenerationStatus.FAILED.value,
            **self._columns_of_request(row),
            "scenes_done": len(self._scenes(session_id)),
            "attempt": self._statements.first(LAST_ATTEMPT, {"id": session_id})[0] or 0,
            "version": (row.version if _is_count(row.version) else 1) + 1,
            "idempotency_key": row.idempotency_key if isinstance(row.idempotency_key, str) else None,
            **dict.fromkeys(("last_accessed", "updated_at", "status_since", "finished_at"), self._now),
            "created_at": self._creation(row.created_at),
            "metadata_checksum": row.metadata_checksum,
            "request_checksum": row.request_checksum,
        }
        self._statements.change(REPLACE_STATE, {"id": session_id, **signed(state)[0]})
        return True

    def _columns_of_request(self, row: Any) -> dict[str, Any]:
        """What the small columns say of the request, if that is sound."""
        try:
            if is_sound_text(row.request_checksum, row.request_data):
                columns = self._codec.encode_request(self._codec.decode_request(row.request_data)).columns()
                return {name: columns[name] for name in ("media_type", "num_scenes")}
        except (ValueError, TypeError):
            # Then the recovery replaces the request, and these with it.
            pass
        return {}

    def _creation(self, text: Any) -> datetime:
        try:
            moment = instant_from(text)
        except (ValueError, TypeError):
            moment = None
        return self._now if moment is None else min(moment, self._now)

    def _row(self, session_id: str) -> Any:
        rows = self._rows(GET_SESSION, GET_SESSION_AS_BYTES, session_id)
        return rows[0] if rows else None

    def _scenes(self, session_id: str) -> list[Any]:
        return self._rows(GET_SCENES, GET_SCENES_AS_BYTES, session_id)

    def _rows(self, statement: Select[Any], as_bytes: Select[Any], session_id: str) -> list[Any]:
        try:
            return self._statements.rows(statement, {"id": session_id})
        except MalformedTextError:
            rows = self._statements.rows(as_bytes, {"id": session_id})
            return [row._make(text_in(value) for value in row) for row in rows]


def _is_sound(row: Any, session_id: str) -> bool:
    if row.session_id != session_id:
        raise corrupted(session_id, "state", "is that of another session, since an index is damaged; run check()")
    try:
        require_sound_state(row, session_id)
        status_of(with_instants(row))
    except SessionCorruptedError:
        return False
    return True


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MAX_INTEGER


def _text(value: object) -> str:
    return str(readable(value))
