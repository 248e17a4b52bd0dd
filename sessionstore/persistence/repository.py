"""The repository: sessions, in terms of the table. Every method is part of a unit of work.

Statements are built once, as module constants over the ORM classes, so that their compiled form is reused: an
ORM session's load-change-flush costs ten times the statement it ends in. What is read is verified by its checksums
before anything is made of it, also of what a write changes: damage must not be signed as if it were right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import Table, Update, bindparam, delete, insert, select, update

from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.persistence.checksums import MISMATCH, bound_as_stored, is_sound_text, stored
from sessionstore.persistence.codec import EncodedRequest, EncodedScene, SessionCodec, corrupted
from sessionstore.persistence.columns import as_list, each_of, instant_from
from sessionstore.persistence.execution import Executor, MalformedTextError
from sessionstore.persistence.scenes import SceneRepository
from sessionstore.persistence.session_rows import (
    RAW_SESSION,
    RAW_STATE,
    SESSIONS,
    StateRow,
    instant_in,
    remember_state,
    require_sound,
    require_sound_state,
    sessions,
    signed,
    sound_states,
    status_of,
    with_instants,
)
from sessionstore.persistence.tables import SetAsideRow

SET_ASIDE = cast(Table, SetAsideRow.__table__)

_of_session = sessions.session_id == bindparam("id")
IS_THERE = select(sessions.session_id).where(_of_session)
GET_SESSION = select(*RAW_SESSION).where(_of_session)
GET_STATE = select(*RAW_STATE).where(_of_session)
GET_REQUEST = select(*RAW_STATE, sessions.request_data).where(_of_session)
FIND_BY_KEY = select(*RAW_STATE, sessions.request_data).where(sessions.idempotency_key == bindparam("key"))
INSERT_SESSION = insert(SESSIONS).values(bound_as_stored(sessions, sessions.keys()))
UNKNOWN = dict.fromkeys(sessions.keys())
DELETE_SESSIONS = delete(SESSIONS).where(sessions.session_id.in_(each_of("ids")))
INSERT_SET_ASIDE = insert(SET_ASIDE)


@cache
def _update_of(columns: tuple[str, ...], is_signed: bool) -> Update:
    """One statement for each set of columns that is ever changed together; of the very row that is known."""
    is_known = (sessions.version == bindparam("known_version"), sessions.state_checksum == bindparam("known_checksum"))
    chosen = update(SESSIONS).where(_of_session, *(is_known if is_signed else ()))
    return chosen.values(bound_as_stored(sessions, columns))


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a change of status is decided on."""

    status: GenerationStatus
    num_scenes: int | None
    scenes_done: int
    attempt: int
    created_at: datetime
    status_since: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error_message: str | None


class SessionRepository:
    """Sessions over one connection, at the one instant `now` of its unit of work.

    Where nothing else is said, a session that is damaged, or does not validate, raises SessionCorruptedError.
    """

    def __init__(self, statements: Executor, codec: SessionCodec[Any, Any], now: datetime) -> None:
        self._statements = statements
        self._codec = codec
        self._now = now
        self.scenes = SceneRepository(statements, now)
        self._written: dict[str, Any] = {}

    # Reading

    def get(self, session_id: str, accessed_at: datetime | None = None) -> GenerationSession[Any, Any] | None:
        """The session; `accessed_at` is an access that is not saved yet."""
        try:
            row = self._statements.first(GET_SESSION, {"id": session_id})
            if row is None:
                return None
            require_sound(row, session_id)
            found = self.scenes.list(session_id, row.scenes_done)
        except MalformedTextError:
            raise corrupted(session_id, "text", "is no text any more") from None
        row = with_instants(row)
        if accessed_at is not None:
            row = row._replace(last_accessed=max(row.last_accessed, accessed_at))
        return self._codec.decode_session(row, [scene.payload for scene in found])

    def is_there(self, session_id: str) -> bool:
        """Whether there is such a session, damaged or not."""
        return bool(self._statements.column(IS_THERE, {"id": session_id}))

    def state(self, session_id: str) -> SessionState | None:
        """What a change of the session is decided on."""
        row = self._sound_state(session_id)
        if row is None:
            return None
        return SessionState(
            status_of(row),
            row.num_scenes,
            row.scenes_done,
            row.attempt,
            cast(datetime, instant_in(row, "created_at")),
            instant_in(row, "status_since"),
            instant_in(row, "started_at"),
            instant_in(row, "finished_at"),
            row.error_message,
        )

    def find_by_key(self, idempotency_key: str) -> tuple[str, str] | None:
        """The session id and stored request that own the key."""
        row = self._statements.first(FIND_BY_KEY, {"key": idempotency_key})
        if row is None:
            return None
        if row.idempotency_key != idempotency_key:
            raise corrupted(row.session_id, "state", "has another idempotency key than an index says")
        return row.session_id, _request_in(row, row.session_id)

    def find_request(self, session_id: str) -> str | None:
        """The stored request of a session."""
        row = self._statements.first(GET_REQUEST, {"id": session_id})
        return None if row is None else _request_in(row, session_id)

    def _sound_state(self, session_id: str) -> Any:
        """The verified state of a session, as it stands; None when it is absent."""
        try:
            row = self._statements.first(GET_STATE, {"id": session_id})
        except MalformedTextError:
            raise corrupted(session_id, "text", "is no text any more") from None
        if row is not None:
            require_sound_state(row, session_id)
        return row

    # Writing: each returns whether the session was there.

    def insert(self, session_id: str, request: EncodedRequest, metadata: str, idempotency_key: str | None) -> None:
        """A new session, pending."""
        columns = {
            "session_id": session_id,
            "status": GenerationStatus.PENDING.value,
            "scenes_done": 0,
            "attempt": 0,
            "version": 1,
            "idempotency_key": idempotency_key,
            "metadata": metadata,
            **request.columns(),
            **dict.fromkeys(("created_at", "last_accessed", "updated_at", "status_since"), self._now),
        }
        stored_columns, state = signed(columns)
        self._statements.change(INSERT_SESSION, {**UNKNOWN, **stored_columns})
        self._remember(StateRow._make(state))

    def update(self, session_id: str, changes: Mapping[str, Any]) -> bool:
        """Sets columns, and counts the change: `version`, `updated_at`, `last_accessed`."""
        return self._change(session_id, lambda row: {**self._counted(row), **changes}) is not None

    def discount_scenes(self, session_id: str, count: int) -> None:
        """Says that so many scenes are gone; `update` counts the change."""
        self._change(session_id, lambda row: {"scenes_done": row.scenes_done - count})

    def recount_scenes(self, session_id: str) -> None:
        """Has a session that is mended say how many scenes it has; `update` counts the change."""
        self._change(session_id, lambda row: {"scenes_done": self.scenes.count(session_id)})

    def touch(self, accesses: Mapping[str, datetime]) -> None:
        """Records when sessions were last read; a later time that is already there stays, and so do damaged ones."""
        for row in sound_states(self._statements, list(accesses)):
            accessed = accesses.get(row.session_id)
            if accessed is not None and str(row.last_accessed) < str(stored(accessed)):
                self._save(row, {"last_accessed": accessed})

    def save_scene(self, session_id: str, scene: EncodedScene) -> datetime | None:
        """Inserts the scene behind the others, or replaces the one with its number in its place.

        Returns since when it was made: since the scene before, or since the session has its status; None when absent.
        Raises ValueError when the session has as many as it may.
        """
        standing = self.scenes.standing(session_id, scene.scene_number)
        new = 0 if standing.is_replaced else 1
        row = self._change(session_id, lambda row: {"scenes_done": row.scenes_done + new} | self._counted(row))
        if row is None:
            return None
        if new:
            self._codec.require_room(row.scenes_done + 1)
        self.scenes.put(session_id, scene, standing, row.scenes_done)
        try:
            since = row.status_since or row.started_at or row.created_at
            return cast(datetime, instant_from(max(since, standing.last_updated or "")))
        except (ValueError, TypeError):
            raise corrupted(session_id, "times") from None

    def delete(self, session_ids: Sequence[str]) -> None:
        """Deletes sessions; their scenes go with them."""
        self._statements.change(DELETE_SESSIONS, {"ids": as_list(session_ids)})

    def set_aside(self, session_id: str, part: str, reason: str, content: str) -> None:
        """Keeps the text of a part that is damaged or no longer validates, beside the session."""
        self._statements.change(
            INSERT_SET_ASIDE,
            {
                "session_id": session_id,
                "part": part,
                "reason": reason,
                "set_aside_at": self._now,
                "content": content,
            },
        )

    def written_state(self, session_id: str) -> Any:
        """The state of a session as this unit last wrote it, or else as it stands; None when it is absent."""
        return self._written.get(session_id) or self._sound_state(session_id)

    def forget_written(self) -> None:
        """Some of it was undone."""
        self._written.clear()

    def _counted(self, row: Any) -> dict[str, Any]:
        return {"version": row.version + 1, "updated_at": self._now, "last_accessed": self._now}

    def _change(self, session_id: str, changes_of: Callable[[Any], Mapping[str, Any]]) -> Any:
        """Changes a session as its verified state has it; that state, or None when the session is absent.

        A state that this connection remembers need not be read again: it is changed only where it still stands, and the
        checksum is that of what is known, so that damage which came since is seen by the next who reads.
        """
        row = self._statements.memory.get(session_id)
        if row is not None and self._save(row, changes_of(row)):
            return row
        row = self._sound_state(session_id)
        if row is not None:
            self._save(row, changes_of(row))
        return row

    def _save(self, row: Any, changes: Mapping[str, Any]) -> bool:
        """Changes a row that was verified, if it still is that one. The one place that does, so that all is signed."""
        columns, state = signed(changes, row)
        statement = _update_of(tuple(columns), row.state_checksum is not None)
        columns["id"] = row.session_id
        columns["known_version"], columns["known_checksum"] = row.version, row.state_checksum
        is_saved = self._statements.change(statement, columns) > 0
        if is_saved:
            self._remember(row._make(state))
        return is_saved

    def _remember(self, row: Any) -> None:
        self._written[row.session_id] = row
        remember_state(self._statements.memory, row)


def _request_in(row: Any, session_id: str) -> str:
    require_sound_state(row, session_id)
    if not is_sound_text(row.request_checksum, row.request_data):
        raise corrupted(session_id, "request_data", MISMATCH)
    return str(row.request_data)
