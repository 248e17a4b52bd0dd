"""Listing sessions, each with its scenes or in one line: by an index, which is not believed where it may be damaged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from operator import eq, gt, lt
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, bindparam, select, tuple_

from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.persistence.checksums import stored
from sessionstore.persistence.codec import SessionCodec, corrupted
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.scenes import RAW_SCENE, require_sound_scenes, scenes
from sessionstore.persistence.session_rows import (
    RAW_SESSION,
    RAW_STATE,
    require_sound,
    require_sound_state,
    sessions,
    with_instants,
)

LIST_INFOS = select(*RAW_STATE).order_by(sessions.created_at, sessions.session_id)
LIST_BY_STATUS = (
    select(*RAW_SESSION)
    .where(sessions.status == bindparam("status"))
    .order_by(sessions.created_at, sessions.session_id)
)


Condition = tuple[str, ColumnElement[Any], Callable[[Any, Any], Any]]
_CONDITIONS: tuple[Condition, ...] = (
    ("status", sessions.status, eq),
    ("media_type", sessions.media_type, eq),
    ("created_after", sessions.created_at, gt),
    ("created_before", sessions.created_at, lt),
)


def _tests_of(names: Sequence[str]) -> list[Condition]:
    return [condition for condition in _CONDITIONS if condition[0] in names]


@cache
def _page_of(conditions: tuple[str, ...], *, goes_on: bool) -> Select[Any]:
    """Newest first, beyond a key if it `goes_on`."""
    tests = [compare(column, bindparam(name, type_=column.type)) for name, column, compare in _tests_of(conditions)]
    if goes_on:
        # A row comparison, so that the index is entered at the key instead of being walked to it.
        key = tuple_(bindparam("last_created", type_=sessions.created_at.type), bindparam("last_id"))
        tests.append(tuple_(sessions.created_at, sessions.session_id) < key)
    newest_first = (sessions.created_at.desc(), sessions.session_id.desc())
    return select(*RAW_SESSION).where(*tests).order_by(*newest_first).limit(bindparam("limit", type_=Integer()))


@cache
def _scenes_of(chosen: Select[Any]) -> Select[Any]:
    """The scenes of chosen sessions, each session's in their order."""
    ids = chosen.with_only_columns(sessions.session_id).subquery()
    return (
        select(*RAW_SCENE).join(ids, ids.c.session_id == scenes.session_id).order_by(scenes.session_id, scenes.position)
    )


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

    def given(self) -> dict[str, Any]:
        """The conditions that there are, as stored."""
        values = {name: stored(getattr(self, name)) for name, _, _ in _CONDITIONS}
        return {name: value for name, value in values.items() if value is not None}

    def admits(self, row: Any) -> bool:
        """Whether a row meets the conditions, which an index may say wrongly."""
        given = self.given()
        return all(
            compare(getattr(row, str(column.key)), given[name]) for name, column, compare in _tests_of(list(given))
        )


class ListingRepository:
    """Sessions in their order. One that is damaged, or does not validate, raises SessionCorruptedError."""

    def __init__(self, statements: Executor, codec: SessionCodec[Any, Any]) -> None:
        self._statements = statements
        self._codec = codec

    def by_status(self, status: GenerationStatus) -> list[GenerationSession[Any, Any]]:
        """All sessions of one status, oldest first."""
        return self._load(LIST_BY_STATUS, {"status": status.value}, SessionFilter(status))

    def page(
        self, chosen: SessionFilter, limit: int, after: tuple[datetime, str] | None
    ) -> list[GenerationSession[Any, Any]]:
        """At most `limit` sessions, newest first, beyond the key (created_at, session_id) `after`."""
        given = chosen.given()
        key = {} if after is None else {"last_created": after[0], "last_id": after[1]}
        values = {name: getattr(chosen, name) for name in given}
        page = _page_of(tuple(given), goes_on=after is not None)
        return self._load(page, {**values, **key, "limit": limit}, chosen, newest_first=True)

    def _load(
        self, chosen: Select[Any], parameters: Mapping[str, Any], wanted: SessionFilter, *, newest_first: bool = False
    ) -> list[GenerationSession[Any, Any]]:
        """Sessions with their scenes, in two statements whatever their number."""
        rows = self._statements.rows(chosen, parameters)
        of_session: dict[str, list[Any]] = {row.session_id: [] for row in rows}
        for row in rows:
            require_sound(row, row.session_id)
            if not wanted.admits(row):
                raise corrupted(row.session_id, "state", "is another than an index says")
        _require_order(rows[::-1] if newest_first else rows)
        for scene in self._statements.rows(_scenes_of(chosen), parameters):
            of_session.setdefault(scene.session_id, []).append(scene)
        for row in rows:
            require_sound_scenes(of_session[row.session_id], row.session_id, row.scenes_done)
        return [
            self._codec.decode_session(with_instants(row), [scene.payload for scene in of_session[row.session_id]])
            for row in rows
        ]

    def infos(self) -> list[SessionInfo]:
        """A line for each session, oldest first, without reading any story or scene."""
        rows = self._statements.rows(LIST_INFOS)
        for row in rows:
            require_sound_state(row, row.session_id)
        _require_order(rows)
        return [_info(with_instants(row)) for row in rows]


def _require_order(rows: Sequence[Any]) -> None:
    """Raises SessionCorruptedError unless rows that an index gave are in its order, each once."""
    keys = [(row.created_at, row.session_id) for row in rows]
    for before, key in pairwise(keys):
        if not before < key:
            raise corrupted(key[1], "state", "is another than an index says")


def _info(row: Any) -> SessionInfo:
    return SessionInfo(
        row.session_id,
        row.status,
        row.created_at,
        row.last_accessed,
        row.progress_step,
        row.progress_total,
        row.scenes_done,
    )
