"""The repository: sessions and scenes, in terms of the tables. Every method is part of a unit of work.

Statements are built once, as module constants over the ORM classes, so that their compiled form is reused: an
ORM session's load-change-flush costs ten times the statement it ends in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import eq, gt, lt
from typing import Any, cast

from pydantic_core import to_json
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    Update,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.persistence.codec import EncodedRequest, EncodedScene, SessionCodec, corrupted
from sessionstore.persistence.columns import Instant, as_list, each_of
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.spared import IS_NOT_SPARED
from sessionstore.persistence.tables import SceneRow, SessionRow, SetAsideRow

SESSIONS, SCENES, SET_ASIDE = (cast(Table, row.__table__) for row in (SessionRow, SceneRow, SetAsideRow))
sessions, scenes = SESSIONS.c, SCENES.c

GET_SESSION = select(SESSIONS).where(sessions.session_id == bindparam("id"))
GET_SCENES = select(scenes.payload).where(scenes.session_id == bindparam("id")).order_by(scenes.position)
GET_NUMBERED = (
    select(scenes.scene_number, scenes.payload).where(scenes.session_id == bindparam("id")).order_by(scenes.position)
)
GET_STATE = select(
    sessions.status,
    sessions.num_scenes,
    sessions.attempt,
    sessions.created_at,
    sessions.status_since,
    sessions.started_at,
    sessions.finished_at,
    sessions.error_message,
).where(sessions.session_id == bindparam("id"))
GET_REQUEST = select(sessions.request_data).where(sessions.session_id == bindparam("id"))
FIND_BY_KEY = select(sessions.session_id, sessions.request_data).where(sessions.idempotency_key == bindparam("key"))
LIST_INFOS = select(
    sessions.session_id,
    sessions.status,
    sessions.created_at,
    sessions.last_accessed,
    sessions.progress_step,
    sessions.progress_total,
    sessions.scenes_done,
).order_by(sessions.created_at, sessions.session_id)
OLDEST_OF_STATUS = (
    select(sessions.created_at, sessions.session_id)
    .where(sessions.status == bindparam("status"))
    .order_by(sessions.created_at, sessions.session_id)
    .limit(bindparam("limit", type_=Integer()))
)
PENDING_AFTER = (
    select(sessions.session_id, sessions.version, sessions.created_at)
    .where(
        sessions.status == literal_column(f"'{GenerationStatus.PENDING}'"),
        tuple_(sessions.created_at, sessions.session_id)
        > tuple_(bindparam("created", type_=Instant()), bindparam("id")),
    )
    .order_by(sessions.created_at, sessions.session_id)
    .limit(bindparam("limit", type_=Integer()))
)
OLDEST_EVICTABLE = OLDEST_OF_STATUS.where(IS_NOT_SPARED)
SCENE_NUMBERS = select(scenes.scene_number).where(scenes.session_id == bindparam("id"))
INSERT_SESSION = insert(SESSIONS)
TOUCH_SESSION = (
    update(SESSIONS)
    .where(sessions.session_id == bindparam("id"), sessions.last_accessed < bindparam("accessed"))
    .values(last_accessed=bindparam("accessed"))
)

_next_position = (
    select(func.coalesce(func.max(scenes.position) + 1, 0))
    .where(scenes.session_id == bindparam("session_id"))
    .scalar_subquery()
)
_new_scene = sqlite_insert(SCENES).values(
    session_id=bindparam("session_id"),
    scene_number=bindparam("scene_number"),
    position=_next_position,
    created_at=bindparam("now"),
    updated_at=bindparam("now"),
    payload=bindparam("payload"),
)
SAVE_SCENE = _new_scene.on_conflict_do_update(
    index_elements=["session_id", "scene_number"],
    set_={"payload": _new_scene.excluded.payload, "updated_at": _new_scene.excluded.updated_at},
)
INSERT_SCENE = insert(SCENES)
INSERT_SET_ASIDE = insert(SET_ASIDE)
DELETE_SESSIONS = delete(SESSIONS).where(sessions.session_id.in_(each_of("ids")))
DELETE_SCENES = delete(SCENES).where(scenes.session_id == bindparam("id"))
DELETE_SCENE = DELETE_SCENES.where(scenes.scene_number == bindparam("number"))
DISCOUNT_SCENE = (
    update(SESSIONS).where(sessions.session_id == bindparam("id")).values(scenes_done=sessions.scenes_done - 1)
)


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    """One statement for each set of columns that is ever changed together."""
    return (
        update(SESSIONS)
        .where(sessions.session_id == bindparam("id"))
        .values(
            version=sessions.version + 1,
            updated_at=bindparam("now"),
            last_accessed=bindparam("now"),
            **{column: bindparam(column) for column in columns},
        )
    )


_is_saved = exists().where(scenes.session_id == bindparam("id"), scenes.scene_number == bindparam("number"))
# With what tells since when the scene was made, which would cost a statement more.
COUNT_SCENE = (
    _update_of(())
    .values(scenes_done=sessions.scenes_done + case((_is_saved, 0), else_=1))
    .returning(
        func.coalesce(sessions.status_since, sessions.started_at, sessions.created_at).label("status_since"),
        sessions.scenes_done,
        select(func.max(scenes.updated_at)).where(scenes.session_id == bindparam("id")).scalar_subquery().label("last"),
    )
)


@cache
def _ids_before(column: str) -> Select[Any]:
    instant = sessions[column]
    return (
        select(sessions.session_id)
        .where(sessions.status == bindparam("status"), instant < bindparam("moment"), IS_NOT_SPARED)
        .order_by(instant)
        .limit(bindparam("limit", type_=Integer()))
    )


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a change of status is decided on."""

    status: GenerationStatus
    num_scenes: int | None
    attempt: int
    created_at: datetime
    status_since: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session in one line."""

    session_id: str
    status: str
    created_at: datetime
    last_accessed: datetime
    progress_step: int | None
    progress_total: int | None
    scenes_done: int

    def completion_percentage(self) -> float:
        """As `GenerationSession.get_completion_percentage`, without the session."""
        if self.status == GenerationStatus.COMPLETED:
            return 100.0
        if self.progress_step is None or not self.progress_total:
            return 0.0
        return round(100 * self.progress_step / self.progress_total, 1)


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions a page is made of; None leaves a condition out."""

    status: GenerationStatus | None = None
    media_type: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        tests: list[tuple[ColumnElement[Any], Callable[[Any, Any], Any], Any]] = [
            (sessions.status, eq, self.status),
            (sessions.media_type, eq, self.media_type),
            (sessions.created_at, gt, self.created_after),
            (sessions.created_at, lt, self.created_before),
        ]
        return [compare(column, value) for column, compare, value in tests if value is not None]


@dataclass(frozen=True, slots=True)
class StoredParts:
    """The texts of a session as they stand in the columns, whether or not they validate."""

    request_data: str
    metadata: str
    progress: str | None
    scenes: dict[int, str]


class SessionRepository:
    """Sessions and scenes over one connection, at the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, codec: SessionCodec[Any, Any], now: datetime) -> None:
        self._statements = statements
        self._codec = codec
        self._now = now

    # Reading

    def get(self, session_id: str, accessed_at: datetime | None = None) -> GenerationSession[Any, Any] | None:
        """The session; `accessed_at` is an access that is not saved yet."""
        try:
            row = self._statements.first(GET_SESSION, {"id": session_id})
        except (ValueError, TypeError) as error:
            raise corrupted(session_id, "times", error) from None
        if row is None:
            return None
        if accessed_at is not None:
            row = row._replace(last_accessed=max(row.last_accessed, accessed_at))
        return self._codec.decode_session(row, self._statements.column(GET_SCENES, {"id": session_id}))

    def state(self, session_id: str) -> SessionState | None:
        row = self._statements.first(GET_STATE, {"id": session_id})
        return row and SessionState(GenerationStatus(row.status), *row[1:])

    def find_by_key(self, idempotency_key: str) -> tuple[str, str] | None:
        """The session id and stored request that own the key."""
        row = self._statements.first(FIND_BY_KEY, {"key": idempotency_key})
        return row and (row.session_id, row.request_data)

    def find_request(self, session_id: str) -> str | None:
        """The stored request of a session."""
        row = self._statements.first(GET_REQUEST, {"id": session_id})
        return None if row is None else str(row.request_data)

    def list_by_status(self, status: GenerationStatus) -> list[GenerationSession[Any, Any]]:
        """All sessions of one status, oldest first."""
        return self._load(
            select(SESSIONS).where(sessions.status == status).order_by(sessions.created_at, sessions.session_id)
        )

    def list_page(
        self, chosen: SessionFilter, limit: int, after: tuple[datetime, str] | None
    ) -> list[GenerationSession[Any, Any]]:
        """At most `limit` sessions, newest first, beyond the key (created_at, session_id) `after`."""
        conditions = chosen.conditions()
        if after is not None:
            # A row comparison, so that the index is entered at the key instead of being walked to it.
            key = tuple_(literal(after[0], sessions.created_at.type), literal(after[1]))
            conditions.append(tuple_(sessions.created_at, sessions.session_id) < key)
        newest_first = (sessions.created_at.desc(), sessions.session_id.desc())
        return self._load(select(SESSIONS).where(*conditions).order_by(*newest_first).limit(limit))

    def _load(self, chosen: Select[Any]) -> list[GenerationSession[Any, Any]]:
        """Sessions with their scenes, in two statements whatever their number."""
        rows = self._statements.core.execute(chosen).all()
        payloads: dict[str, list[str]] = {row.session_id: [] for row in rows}
        ids = chosen.with_only_columns(sessions.session_id).subquery()
        statement = (
            select(scenes.session_id, scenes.payload)
            .join(ids, ids.c.session_id == scenes.session_id)
            .order_by(scenes.session_id, scenes.position)
        )
        for session_id, payload in self._statements.core.execute(statement):
            payloads[session_id].append(payload)
        return [self._codec.decode_session(row, payloads[row.session_id]) for row in rows]

    def pending_after(self, created_at: datetime, session_id: str, limit: int) -> list[Any]:
        """Pending sessions beyond that key, oldest first: rows of session_id, version, created_at."""
        return self._statements.rows(PENDING_AFTER, {"created": created_at, "id": session_id, "limit": limit})

    def scene_numbers(self, session_id: str) -> list[int]:
        """Of the saved scenes, in no order."""
        return self._statements.column(SCENE_NUMBERS, {"id": session_id})

    def infos(self) -> list[SessionInfo]:
        """A line for each session, oldest first, without reading any story or scene."""
        return [SessionInfo(*row) for row in self._statements.rows(LIST_INFOS)]

    def stored_parts(self, session_id: str) -> StoredParts | None:
        """The raw texts, for a session that cannot be decoded."""
        row = self._statements.first(GET_SESSION, {"id": session_id})
        if row is None:
            return None
        tick = {
            "current_step": row.progress_step,
            "total_steps": row.progress_total,
            "description": row.progress_description,
        }
        progress = None if row.progress_step is None else to_json(tick).decode()
        return StoredParts(row.request_data, row.metadata, progress, self._numbered(session_id))

    def _numbered(self, session_id: str) -> dict[int, str]:
        """The texts of a session's scenes, in their order."""
        return {row.scene_number: row.payload for row in self._statements.rows(GET_NUMBERED, {"id": session_id})}

    # Writing: each returns whether the session was there.

    def insert(self, session_id: str, request: EncodedRequest, metadata: str, idempotency_key: str | None) -> None:
        instants = dict.fromkeys(("created_at", "last_accessed", "updated_at", "status_since"), self._now)
        self._statements.change(
            INSERT_SESSION,
            {
                "session_id": session_id,
                "status": GenerationStatus.PENDING.value,
                "scenes_done": 0,
                "attempt": 0,
                "version": 1,
                "idempotency_key": idempotency_key,
                "metadata": metadata,
                **request.columns(),
                **instants,
            },
        )

    def update(self, session_id: str, changes: Mapping[str, Any]) -> bool:
        """Sets columns, and counts the change: `version`, `updated_at`, `last_accessed`."""
        statement = _update_of(tuple(changes))
        parameters = {"id": session_id, "now": self._now, **changes}
        return self._statements.change(statement, parameters) > 0

    def touch(self, accesses: Mapping[str, datetime]) -> None:
        """Records when sessions were last read; a later time that is already there stays."""
        self._statements.change_each(
            TOUCH_SESSION, ({"id": session_id, "accessed": moment} for session_id, moment in accesses.items())
        )

    def save_scene(self, session_id: str, scene: EncodedScene) -> datetime | None:
        """Inserts the scene behind the others, or replaces the one with its number in its place.

        Returns since when it was made: since the scene before, or since the session has its status; None when absent.
        Raises ValueError when the session has as many as it may.
        """
        key = {"id": session_id, "number": scene.scene_number}
        known = self._statements.first(COUNT_SCENE, {**key, "now": self._now})
        if known is None:
            return None
        if known.scenes_done > self._codec.limits.scenes and scene.scene_number not in self.scene_numbers(session_id):
            self._codec.require_room(known.scenes_done)
        self._statements.change(
            SAVE_SCENE,
            {
                "session_id": session_id,
                "scene_number": scene.scene_number,
                "payload": scene.text,
                "now": self._now,
            },
        )
        since: datetime = known.status_since
        return since if known.last is None else max(since, known.last)

    def replace_scenes(self, session_id: str, given: Sequence[EncodedScene]) -> int:
        """Makes `given`, in this order, all the scenes of a session that is there; `update` counts the change.

        Returns how many of them are new, or other than they were.
        """
        before = self._numbered(session_id)
        self._statements.change(DELETE_SCENES, {"id": session_id})
        self._statements.change_each(
            INSERT_SCENE,
            (
                {
                    "session_id": session_id,
                    "scene_number": scene.scene_number,
                    "position": position,
                    "created_at": self._now,
                    "updated_at": self._now,
                    "payload": scene.text,
                }
                for position, scene in enumerate(given)
            ),
        )
        return sum(before.get(scene.scene_number) != scene.text for scene in given)

    def delete(self, session_ids: Sequence[str]) -> None:
        """Deletes sessions; their scenes go with them."""
        self._statements.change(DELETE_SESSIONS, {"ids": as_list(session_ids)})

    def set_aside(self, session_id: str, part: str, reason: str, content: str) -> None:
        """Keeps the text of a part that no longer validates, beside the session."""
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

    def delete_scene(self, session_id: str, scene_number: int) -> None:
        """Deletes a scene that is there; `update` counts the change."""
        self._statements.change(DELETE_SCENE, {"id": session_id, "number": scene_number})
        self._statements.change(DISCOUNT_SCENE, {"id": session_id})

    # Choosing: ids, oldest first, at most `limit`.

    def ids_before(self, column: str, moment: datetime, status: GenerationStatus, limit: int) -> list[str]:
        """Those of one status whose `created_at` or `finished_at` lies before `moment`, but for spared ones."""
        parameters = {"status": status.value, "moment": moment, "limit": limit}
        return self._statements.column(_ids_before(column), parameters)

    def evictable_ids(self, statuses: Iterable[GenerationStatus], limit: int) -> list[str]:
        """As `oldest_ids`, but for spared ones."""
        return self._oldest(OLDEST_EVICTABLE, statuses, limit)

    def oldest_ids(self, statuses: Iterable[GenerationStatus], limit: int) -> list[str]:
        return self._oldest(OLDEST_OF_STATUS, statuses, limit)

    def _oldest(self, of_status: Select[Any], statuses: Iterable[GenerationStatus], limit: int) -> list[str]:
        # Status by status, each from its end of the index: over all at once, SQLite would sort every session.
        oldest = [
            (row.created_at, row.session_id)
            for status in statuses
            for row in self._statements.rows(of_status, {"status": status.value, "limit": limit})
        ]
        return [session_id for _, session_id in sorted(oldest)[:limit]]
