"""Asking the views, and the rows behind two reports that are no view: durations, and what one session went through."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Date, Integer, Table, bindparam, func, select

from sessionstore.persistence.columns import as_list, each_of
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import EventRow, SessionRow, TombstoneRow
from sessionstore.persistence.views import REPORTS, ReportView

EVENTS = cast(Table, EventRow.__table__)
events = EVENTS.c
sessions, tombstones = cast(Table, SessionRow.__table__).c, cast(Table, TombstoneRow.__table__).c
every_session = REPORTS["sessions"].table.c

FIRST_AND_LAST = select(func.min(events.event_id).label("first"), func.max(events.event_id).label("last"))
NEXT_EVENT = (
    select(events.event_id, events.occurred_at)
    .where(events.event_id >= bindparam("at"))
    .order_by(events.event_id)
    .limit(bindparam("one", 1, type_=Integer()))
)
LIFE = select(sessions.created_at, sessions.updated_at.label("last_at"), sessions.status).where(
    sessions.session_id == bindparam("id")
)
LAST_LIFE = (
    select(tombstones.created_at, tombstones.gone_at.label("last_at"), tombstones.reason.label("status"))
    .where(tombstones.session_id == bindparam("id"))
    .order_by(tombstones.tombstone_id.desc())
    .limit(bindparam("one", 1, type_=Integer()))
)
# What makes or ends a status; the others happen within one.
TURNS = ("created", "status_changed", "expired", "evicted", "removed", "cleared")
TURNS_OF = (
    select(events.event_type, events.status, events.attempt, events.occurred_at)
    .where(
        events.event_id.between(bindparam("first"), bindparam("last")),
        events.session_id == bindparam("id"),
        events.event_type.in_(each_of("turns")),
    )
    .order_by(events.event_id)
)


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows a report is about; None leaves a condition out. `until` itself is not in it."""

    since: datetime | None = None
    until: datetime | None = None
    media_type: str | None = None

    def conditions(self, view: ReportView) -> Iterator[ColumnElement[bool]]:
        """On a column of hours or days: all that the window touches."""
        when = view.table.c[view.when]
        if self.since is not None:
            yield when >= self._start_of(view)
        if self.until is not None and isinstance(when.type, Date):
            yield when <= (self.until - timedelta(milliseconds=1)).date()
        elif self.until is not None:
            yield when < self.until
        if self.media_type is not None:
            yield view.table.c.media_type == self.media_type

    def _start_of(self, view: ReportView) -> Any:
        assert self.since is not None
        if isinstance(view.table.c[view.when].type, Date):
            return self.since.date()
        return self.since.replace(minute=0, second=0, microsecond=0) if view.when == "hour_at" else self.since


@dataclass(frozen=True, slots=True)
class Turn:
    """A moment at which a session got a status, or went."""

    event_type: str
    status: str
    attempt: int
    occurred_at: datetime


class ReportRepository:
    """Rows of reports, from the snapshot of its unit of work."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def rows(self, view: ReportView, window: Window, limit: int | None) -> list[tuple[Any, ...]]:
        """The newest rows of a view within the window, the oldest of them first."""
        columns = view.table.c
        newest_first = [columns[name].desc() for name in (view.when, *view.then_by)]
        statement = select(view.table).where(*window.conditions(view)).order_by(*newest_first).limit(limit)
        return [tuple(row) for row in self._statements.core.execute(statement)][::-1]

    def durations(self, window: Window) -> list[tuple[str | None, int, int | None]]:
        """Media type, queue_ms and generation_ms of each session created within the window that ever started."""
        statement = select(every_session.media_type, every_session.queue_ms, every_session.generation_ms).where(
            every_session.queue_ms.is_not(None), *window.conditions(REPORTS["sessions"])
        )
        # As the driver gives them: rows of SQLAlchemy's, for a million sessions, take as long as all the rest.
        cursor: Any = self._statements.core.execute(statement).cursor
        return cast(list[tuple[str | None, int, int | None]], cursor.fetchall())

    def turns(self, session_id: str) -> list[Turn] | None:
        """What the history still has of one session's statuses; None when there never was one.

        There is no index of events by session. Events are in the order of time, so the life of a session is found as a
        range; should a clock have been set back meanwhile, all events are looked at.
        """
        life = self._statements.first(LIFE, {"id": session_id}) or self._statements.first(LAST_LIFE, {"id": session_id})
        if life is None:
            return None
        bounds = self._statements.first(FIRST_AND_LAST)
        if bounds.first is None:
            return []
        first = self._first_since(life.created_at, bounds.first, bounds.last)
        last = self._first_since(life.last_at + timedelta(milliseconds=1), first, bounds.last)
        found = self._turns(session_id, first, last)
        is_whole = (
            found and found[0].event_type == "created" and life.status in {found[-1].status, found[-1].event_type}
        )
        return found if is_whole else self._turns(session_id, bounds.first, bounds.last)

    def _turns(self, session_id: str, first: int, last: int) -> list[Turn]:
        parameters = {"id": session_id, "first": first, "last": last, "turns": as_list(TURNS)}
        return [Turn(*row) for row in self._statements.rows(TURNS_OF, parameters)]

    def _first_since(self, moment: datetime, low: int, high: int) -> int:
        """The first event that happened then or later, or the last event there is."""
        while low < high:
            middle = (low + high) // 2
            event = self._statements.first(NEXT_EVENT, {"at": middle})
            if event.occurred_at >= moment:
                high = middle
            else:
                low = event.event_id + 1
        return low
