"""Reading what changed: the events of the history, and the versions of sessions, from one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import BigInteger, Integer, Table, bindparam, func, literal_column, or_, select

from sessionstore.models import GenerationStatus
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.columns import as_list, each_of
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import EventRow, SessionRow

events, sessions = cast(Table, EventRow.__table__).c, cast(Table, SessionRow.__table__).c

# There is no index of events by session, for each write would pay for it: they are found in a range of the key, which
# readers keep short.
_is_newer = events.event_id > bindparam("after", type_=BigInteger())
_is_of_session = events.session_id == bindparam("id")
LATEST = select(func.coalesce(func.max(events.event_id), 0).label("event_id"))
TALLY = select(func.count().label("all")).add_columns(func.count().filter(_is_of_session).label("own")).where(_is_newer)
EVENTS_OF = (
    select(events.event_id, events.event_type, events.status, events.scene_number, events.attempt, events.occurred_at)
    .where(_is_newer, _is_of_session)
    .order_by(events.event_id)
)
EVENTS_OF_ALL = (
    select(events.event_id, events.session_id, events.event_type, events.status)
    .where(_is_newer)
    .order_by(events.event_id)
    .limit(bindparam("limit", type_=Integer()))
)
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


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One row of `session_events`, of a session that is known."""

    event_id: int
    event_type: str
    status: GenerationStatus
    scene_number: int | None
    attempt: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class EventsSince:
    """The events of one session behind some event; `latest` is the newest of all sessions.

    `is_complete` is false when some may be missing: they were pruned, or the database is an older copy.
    """

    events: list[RecordedEvent]
    latest: int
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

    def latest_event_id(self) -> int:
        """Of the newest event there is; 0 when there is none."""
        return int(self._statements.first(LATEST).event_id)

    def events_since(self, session_id: str, after: int) -> EventsSince:
        """The events of a session with a higher id, oldest first. Reads every event in that range.

        Raises:
            SessionCorruptedError: when one of them is none of ours.
        """
        latest = self.latest_event_id()
        tally = self._statements.first(TALLY, {"id": session_id, "after": after})
        found: list[RecordedEvent] = []
        if tally.own:
            try:
                rows = self._statements.rows(EVENTS_OF, {"id": session_id, "after": after})
                found = [RecordedEvent(**row._asdict() | {"status": GenerationStatus(row.status)}) for row in rows]
            except (ValueError, TypeError) as error:
                raise corrupted(session_id, "history") from error
        # Ids are handed out without gaps, so fewer events than ids means that some are gone.
        return EventsSince(found, latest, is_complete=latest - after == tally.all)

    def events_of_all(self, after: int, limit: int) -> list[Any]:
        """Rows of event_id, session_id, event_type, status behind an event, in the order of the commits."""
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
