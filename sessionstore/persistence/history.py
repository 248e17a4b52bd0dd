"""Events and tombstones: what is kept of changes, and of sessions that are gone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Integer, Select, Table, Text, bindparam, delete, func, insert, literal, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from sessionstore.models import Tombstone, TombstoneReason
from sessionstore.persistence.columns import Instant, as_list, day_of, each_of, hour_of
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import (
    EventRow,
    SessionRow,
    SessionTotalsRow,
    SummedUpRow,
    TombstoneRow,
)

EVENTS, TOMBSTONES = cast(Table, EventRow.__table__), cast(Table, TombstoneRow.__table__)
TOTALS, SUMMED_UP = cast(Table, SessionTotalsRow.__table__), cast(Table, SummedUpRow.__table__)
events, tombstones = EVENTS.c, TOMBSTONES.c
sessions = cast(Table, SessionRow.__table__).c

# What an event says for the reports, where it has something to say.
FIGURES = ("left_status", "duration_ms", "queue_ms", "generation_ms", "scene_count")
_no_figures: dict[str, Any] = dict.fromkeys(FIGURES)

# One statement for any number of sessions: an event takes its status, attempt and media type from the session as it is.
_now = bindparam("now", type_=Instant())
_events_of = select(
    sessions.session_id,
    bindparam("event_type", type_=Text()),
    sessions.status,
    bindparam("scene_number", type_=Integer()),
    sessions.attempt,
    _now,
    hour_of(_now),
    sessions.media_type,
    *(bindparam(name, type_=events[name].type) for name in FIGURES),
)
_event_columns = [
    *("session_id", "event_type", "status", "scene_number", "attempt", "occurred_at", "hour_at", "media_type"),
    *FIGURES,
]
RECORD = insert(EVENTS).from_select(_event_columns, _events_of.where(sessions.session_id == bindparam("id")))
RECORD_GONE = insert(EVENTS).from_select(_event_columns, _events_of.where(sessions.session_id.in_(each_of("ids"))))

# Columns that a tombstone takes over from its session as they are.
INHERITED = (
    "session_id",
    "status",
    "media_type",
    "num_scenes",
    "scenes_done",
    "attempt",
    "error_message",
    "created_at",
    "started_at",
    "finished_at",
    "queue_ms",
    "generation_ms",
)
_gone = select(
    *(sessions[name] for name in INHERITED),
    bindparam("reason"),
    _now,
).where(sessions.session_id.in_(each_of("ids")))
BURY = insert(TOMBSTONES).from_select([*INHERITED, "reason", "gone_at"], _gone)
LAST_EVENT = select(events.occurred_at).order_by(events.event_id.desc()).limit(literal(1))
FIND_TOMBSTONE = (
    select(TOMBSTONES)
    .where(tombstones.session_id == bindparam("id"))
    .order_by(tombstones.tombstone_id.desc())
    .limit(literal(1))
)


class HistoryRepository:
    """Appends to the history and prunes it, at the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def record(self, session_id: str, event_type: str, scene_number: int | None = None, **figures: Any) -> None:
        """Adds one event, with the status and attempt the session has now; nothing when it is absent.

        `figures` are those of `FIGURES` that it has.
        """
        event = {"id": session_id, "event_type": event_type, "scene_number": scene_number, "now": self._now}
        self._statements.change(RECORD, {**_no_figures, **event, **figures})

    def bury(self, session_ids: Sequence[str], reason: TombstoneReason) -> None:
        """Writes a tombstone and an event for each session; they must still be there."""
        ids, now = as_list(session_ids), self._now
        self._statements.change(BURY, {"ids": ids, "reason": reason.value, "now": now})
        event = {"ids": ids, "event_type": reason.value, "scene_number": None, "now": now}
        self._statements.change(RECORD_GONE, {**_no_figures, **event})

    def find_tombstone(self, session_id: str) -> Tombstone | None:
        """The newest tombstone, when an id was used more than once."""
        row = self._statements.first(FIND_TOMBSTONE, {"id": session_id})
        return None if row is None else Tombstone.model_validate(row._asdict())

    def last_event_at(self) -> datetime | None:
        """When the last event happened, by the clock of whoever wrote it."""
        row = self._statements.first(LAST_EVENT)
        moment: datetime | None = row and row.occurred_at
        return moment

    def prune_events(self, before: datetime, limit: int) -> int:
        """Deletes what is older than that among the first `limit` events there are; how many went.

        And whatever came before such an event, though a clock that was ahead gave it a later time: what is left has no
        gaps. What is not summed up yet stays, and so does the last event: SQLite would hand its number out again.
        """
        first = select(events.event_id, events.occurred_at).order_by(events.event_id).limit(limit).subquery()
        last = select(func.max(events.event_id)).scalar_subquery()
        summed_up = select(SUMMED_UP.c.event_id).scalar_subquery()
        due = select(func.max(first.c.event_id)).where(
            first.c.occurred_at < before, first.c.event_id < last, first.c.event_id <= summed_up
        )
        return self._statements.core.execute(delete(EVENTS).where(events.event_id <= due.scalar_subquery())).rowcount

    def prune_tombstones(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` tombstones older than that, whose figures go to the daily totals; how many went."""
        due = (
            select(tombstones.tombstone_id).where(tombstones.gone_at < before).order_by(tombstones.gone_at).limit(limit)
        )
        execute = self._statements.core.execute
        execute(_adding_to_totals(due))
        return execute(delete(TOMBSTONES).where(tombstones.tombstone_id.in_(due))).rowcount


def _adding_to_totals(due: Select[Any]) -> Any:
    """A statement that adds what these tombstones amount to, to the totals of the days they were created on."""
    key = (
        day_of(tombstones.created_at),
        func.coalesce(tombstones.media_type, ""),
        tombstones.status,
        tombstones.reason,
    )
    figures = {
        "session_count": func.count(),
        "scene_count": func.sum(tombstones.scenes_done),
        "attempt_count": func.sum(tombstones.attempt),
        "started_count": func.count(tombstones.queue_ms),
        "queue_ms": func.coalesce(func.sum(tombstones.queue_ms), 0),
        "generated_count": func.count(tombstones.generation_ms),
        "generation_ms": func.coalesce(func.sum(tombstones.generation_ms), 0),
    }
    amounts = select(*key, *figures.values()).where(tombstones.tombstone_id.in_(due)).group_by(*key)
    added = sqlite_insert(TOTALS).from_select([*TOTALS.primary_key.columns.keys(), *figures], amounts)
    return added.on_conflict_do_update(
        index_elements=list(TOTALS.primary_key), set_={name: TOTALS.c[name] + added.excluded[name] for name in figures}
    )
