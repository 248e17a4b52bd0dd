"""Reading what changed: the events of the history, and the versions of sessions, from one snapshot."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    Integer,
    Table,
    Text,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)

from sessionstore.models import GenerationStatus
from sessionstore.persistence.checksums import MISMATCH, as_stored, is_sound
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.columns import as_list, each_of, instant_from
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import EventRow, SessionRow

events, sessions = cast(Table, EventRow.__table__).c, cast(Table, SessionRow.__table__).c

# There is no index of events by session, for each write would pay for it: they are found in a range of the key, which
# is read once, and only when all of it is there.
_after = bindparam("after", type_=BigInteger())
_is_newer = events.event_id > _after
_is_of_session = events.session_id == bindparam("id")
# As text: a time that somebody spoiled by hand is to stop nobody who watches another session.
_moment = type_coerce(events.occurred_at, Text())
LATEST = select(events.event_id, _moment.label("moment")).order_by(events.event_id.desc()).limit(literal(1))
BOUNDS = LATEST.add_columns(
    select(func.min(events.event_id)).scalar_subquery().label("oldest"),
    select(_moment).where(events.event_id == _after).correlate(None).scalar_subquery().label("moment_before"),
)
_raw = [as_stored(column) for column in events]
EVENTS_OF = select(*_raw).where(_is_newer, _is_of_session).order_by(events.event_id)
EVENTS_OF_ALL = select(*_raw).where(_is_newer).order_by(events.event_id).limit(bindparam("limit", type_=Integer()))
LAST_EVENTS = (
    select(events.session_id, func.max(events.event_id).label("event_id"))
    .where(_is_newer, events.session_id.in_(each_of("ids")))
    .group_by(events.session_id)
)
VERSIONS = select(sessions.session_id, sessions.version).where(sessions.session_id.in_(each_of("ids")))
TICKS = select(
    sessions.session_id,
    sessions.version,
    sessions.progress_step,
    sessions.progress_total,
    sessions.progress_description,
).where(or_(*(sessions.status == literal_column(f"'{each}'") for each in GenerationStatus if each.is_active())))


class Point(NamedTuple):
    """Where in the history: behind the event of that number, which has that `mark`; (0, 0) is before the first.

    A number alone may be that of another event, once an older copy of the database was put back.
    """

    event_id: int
    mark: int


BEGINNING = Point(0, 0)


def mark_of(moment: datetime) -> int:
    """The mark of an event of that instant: 2026-01-31 12:00:00.123 is 20260131120000123, so later ones are higher."""
    return _mark_in(moment.isoformat(" ", "milliseconds")[:23])


def _mark_in(text: object) -> int:
    return int(re.sub("[^0-9]", "", str(text))[:17] or 0)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One row of `session_events`, of a session that is known."""

    event_id: int
    event_type: str
    status: GenerationStatus
    scene_number: int | None
    attempt: int
    occurred_at: datetime

    @property
    def point(self) -> Point:
        """Right behind it."""
        return Point(self.event_id, mark_of(self.occurred_at))


@dataclass(frozen=True, slots=True)
class EventsSince:
    """The events of one session behind some point; `latest` is behind the newest of all sessions.

    Not `is_complete`, and then without any, when some may be missing: they were pruned, or the history is another one,
    since an older copy of the database was put back.
    """

    events: list[RecordedEvent]
    latest: Point
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """What of an active session tells whether its progress changed. `mark` stands for the progress itself."""

    version: int
    mark: int | None


class ChangeRepository:
    """Looks for changes in the snapshot of its unit of work."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def latest(self) -> Point:
        """Behind the newest event there is."""
        row = self._statements.first(LATEST)
        return BEGINNING if row is None else Point(row.event_id, _mark_in(row.moment))

    def events_since(self, session_id: str, after: Point) -> EventsSince:
        """The events of a session behind a point, oldest first. Reads every event in that range.

        Raises:
            SessionCorruptedError: when one of them is none of ours.
        """
        bounds = self._statements.first(BOUNDS, {"after": after.event_id})
        if bounds is None:
            return EventsSince([], BEGINNING, is_complete=after == BEGINNING)
        # Pruning takes the oldest, and ids are handed out without gaps: what is there from the next one on is all.
        is_there = bounds.oldest <= after.event_id + 1 and after.event_id <= bounds.event_id
        is_known = bounds.moment_before is None or _mark_in(bounds.moment_before) == after.mark
        is_complete = is_there and is_known
        found = self._events_of(session_id, after.event_id) if is_complete else []
        return EventsSince(found, Point(bounds.event_id, _mark_in(bounds.moment)), is_complete)

    def _events_of(self, session_id: str, after: int) -> list[RecordedEvent]:
        rows = self._statements.rows(EVENTS_OF, {"id": session_id, "after": after})
        if not all(is_sound_event(row) for row in rows):
            raise corrupted(session_id, "history", MISMATCH)
        try:
            return [recorded_event(row) for row in rows]
        except (ValueError, TypeError):
            raise corrupted(session_id, "history") from None

    def events_of_all(self, after: int, limit: int) -> list[Any]:
        """Rows of all events behind one, as they stand, in the order of the commits; damaged ones too."""
        return self._statements.rows(EVENTS_OF_ALL, {"after": after, "limit": limit})

    def last_events(self, session_ids: Sequence[str], after: int) -> dict[str, int]:
        """The newest event of each of these sessions that has one behind `after`."""
        rows = self._statements.rows(LAST_EVENTS, {"ids": as_list(session_ids), "after": after})
        return {row.session_id: row.event_id for row in rows}

    def versions(self, session_ids: Sequence[str]) -> dict[str, int]:
        """Of those of these sessions that are there."""
        return {row.session_id: row.version for row in self._statements.rows(VERSIONS, {"ids": as_list(session_ids)})}

    def ticks(self) -> dict[str, Tick]:
        """Of all active sessions."""
        return {
            row.session_id: Tick(row.version, None if row.progress_step is None else hash(row[2:]))
            for row in self._statements.rows(TICKS)
        }


def is_sound_event(row: Any) -> bool:
    """Whether a row, its number first and its checksum last, is what was signed."""
    return is_sound(row[-1], row[1:-1])


def recorded_event(row: Any) -> RecordedEvent:
    """The event of a row as it stands. Raises ValueError or TypeError for what is none."""
    moment = cast(datetime, instant_from(row.occurred_at))
    status = GenerationStatus(row.status)
    return RecordedEvent(row.event_id, row.event_type, status, row.scene_number, row.attempt, moment)
