"""Asking the views, and the rows behind two reports that are no view: durations, and what one session went through."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any, cast

from sqlalchemy import ColumnElement, Date, Integer, Table, bindparam, func, select

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.models import TombstoneReason
from sessionstore.persistence.checksums import MISMATCH, as_stored
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.columns import instant_from, instant_text
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.following import is_sound_event
from sessionstore.persistence.tables import EventRow, SessionRow, TombstoneRow
from sessionstore.persistence.views import REPORTS, ReportView

EVENTS = cast(Table, EventRow.__table__)
events = EVENTS.c
sessions, tombstones = cast(Table, SessionRow.__table__).c, cast(Table, TombstoneRow.__table__).c
every_session = REPORTS["sessions"].table.c

MIDNIGHT = time(tzinfo=UTC)

# Each by itself: both at once would read every event.
FIRST_AND_LAST = select(
    select(func.min(events.event_id)).scalar_subquery().label("first"),
    select(func.max(events.event_id)).scalar_subquery().label("last"),
)
NEXT_EVENT = (
    select(events.event_id, as_stored(events.occurred_at))
    .where(events.event_id >= bindparam("at"))
    .order_by(events.event_id)
    .limit(bindparam("one", 1, type_=Integer()))
)
# A life from its creation to the last status it got: the one it has, or the one it had when it went.
LIVING = select(
    sessions.created_at,
    sessions.status,
    sessions.status_since.label("since"),
    func.coalesce(sessions.status_since, sessions.updated_at).label("until"),
).where(sessions.session_id == bindparam("id"))
GONE = (
    select(
        tombstones.created_at,
        tombstones.status,
        tombstones.finished_at.label("since"),
        func.coalesce(tombstones.finished_at, tombstones.gone_at).label("until"),
        tombstones.reason,
        tombstones.attempt,
        tombstones.gone_at,
    )
    .where(tombstones.session_id == bindparam("id"))
    .order_by(tombstones.tombstone_id.desc())
    .limit(bindparam("one", 1, type_=Integer()))
)
# What gives a session a status, and what takes it away; other events happen within one.
STAYS = ("created", "status_changed")
TURNS = (*STAYS, *TombstoneReason)
TURNS_OF = (
    select(*(as_stored(column) for column in events))
    .where(
        events.event_id.between(bindparam("first"), bindparam("last")),
        events.session_id == bindparam("id"),
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
            day = self.until.date()
            yield when < day if self.until.timetz() == MIDNIGHT else when <= day
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
        try:
            return [tuple(row) for row in self._statements.core.execute(statement)][::-1]
        except (ValueError, TypeError) as error:
            raise DatabaseUnavailableError(
                f"{view.table.name} holds a time that cannot be read, written by another program; "
                "`sessionstore check` says more"
            ) from error

    def durations(self, window: Window) -> list[tuple[str | None, int, int | None]]:
        """Media type, queue_ms and generation_ms of each session created within the window that ever started."""
        statement = select(every_session.media_type, every_session.queue_ms, every_session.generation_ms).where(
            every_session.queue_ms.is_not(None), *window.conditions(REPORTS["sessions"])
        )
        # Plain: rows of SQLAlchemy's, for a million sessions, take as long as all the rest.
        return self._statements.plain_rows(statement)

    def turns(self, session_id: str) -> list[Turn] | None:
        """What the history still has of the statuses of a session's last life; None when there never was one.

        There is no index of events by session. Events are in the order of time, so a life is found as a range: from
        its creation, or the first event there still is, to its last status. When that does not hold both ends, for a
        clock was set back meanwhile, all events are looked at.

        Raises:
            SessionCorruptedError: when one of them is damaged, or lacking in between.
        """
        key = {"id": session_id}
        living = self._statements.first(LIVING, key)
        life = living or self._statements.first(GONE, key)
        if life is None:
            return None
        bounds = self._statements.first(FIRST_AND_LAST)
        if bounds.first is None:
            return []
        first = self._first_since(life.created_at, bounds.first, bounds.last)
        last = self._first_since(life.until + timedelta(milliseconds=1), first, bounds.last)
        found = self._turns(session_id, first, last)
        begins = first == bounds.first or (found and found[0].event_type == "created")
        if not (begins and _ends(found, life)):
            found = self._turns(session_id, bounds.first, bounds.last)
        if found and not _ends(found, life):
            raise corrupted(session_id, "history", "lacks its last event")
        if living is None and found and found[-1].event_type in STAYS:
            found.append(Turn(life.reason, life.status, life.attempt, life.gone_at))
        return found

    def _turns(self, session_id: str, first: int, last: int) -> list[Turn]:
        rows = self._statements.rows(TURNS_OF, {"id": session_id, "first": first, "last": last})
        if not all(map(is_sound_event, rows)):
            raise corrupted(session_id, "history", MISMATCH)
        rows = [row for row in rows if row.event_type in TURNS]
        # An id that was used before had other lives.
        births = [place for place, row in enumerate(rows) if row.event_type == "created"]
        rows = rows[births[-1] :] if births else rows
        for before, row in pairwise(rows):
            if row.left_status is not None and row.left_status != before.status:
                raise corrupted(session_id, "history", "lacks an event")
        return [_turn(row) for row in rows]

    def _first_since(self, moment: datetime, low: int, high: int) -> int:
        """The first event that happened then or later, or the last event there is."""
        while low < high:
            middle = (low + high) // 2
            event = self._statements.first(NEXT_EVENT, {"at": middle})
            # As text: damage to an event of another session is to stop nobody.
            if str(event.occurred_at) >= str(instant_text(moment)):
                high = middle
            else:
                low = event.event_id + 1
        return low


def _ends(found: list[Turn], life: Any) -> bool:
    """Whether the last turn is the one that a life ended with, or stands at."""
    if not found or found[-1].status != life.status:
        return False
    return found[-1].event_type not in STAYS or life.since is None or found[-1].occurred_at == life.since


def _turn(row: Any) -> Turn:
    try:
        return Turn(row.event_type, row.status, row.attempt, cast(datetime, instant_from(row.occurred_at)))
    except (ValueError, TypeError):
        raise corrupted(row.session_id, "history") from None
