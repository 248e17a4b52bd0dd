"""Events and tombstones: what is kept of changes, and of sessions that are gone."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Integer, Table, Text, bindparam, delete, func, insert, literal, select

from sessionstore.models import Tombstone, TombstoneReason
from sessionstore.persistence.columns import Instant, as_list, each_of
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import EventRow, SceneRow, SessionRow, TombstoneRow

EVENTS, TOMBSTONES = cast(Table, EventRow.__table__), cast(Table, TombstoneRow.__table__)
events, tombstones = EVENTS.c, TOMBSTONES.c
sessions, scenes = cast(Table, SessionRow.__table__).c, cast(Table, SceneRow.__table__).c

# One statement for any number of sessions: an event takes its status and attempt from the session as it is.
_events_of = select(
    sessions.session_id,
    bindparam("event_type", type_=Text()),
    sessions.status,
    bindparam("scene_number", type_=Integer()),
    sessions.attempt,
    bindparam("now", type_=Instant()),
)
_event_columns = ["session_id", "event_type", "status", "scene_number", "attempt", "occurred_at"]
RECORD = insert(EVENTS).from_select(_event_columns, _events_of.where(sessions.session_id == bindparam("id")))
RECORD_GONE = insert(EVENTS).from_select(_event_columns, _events_of.where(sessions.session_id.in_(each_of("ids"))))

# Columns that a tombstone takes over from its session as they are.
INHERITED = (
    "session_id",
    "status",
    "media_type",
    "num_scenes",
    "attempt",
    "error_message",
    "created_at",
    "started_at",
    "finished_at",
    "queue_ms",
    "generation_ms",
)
_scenes_done = (
    select(func.count()).where(scenes.session_id == sessions.session_id).select_from(SceneRow).scalar_subquery()
)
_gone = select(
    *(sessions[name] for name in INHERITED),
    bindparam("reason"),
    _scenes_done,
    bindparam("now", type_=Instant()),
).where(sessions.session_id.in_(each_of("ids")))
BURY = insert(TOMBSTONES).from_select([*INHERITED, "reason", "scenes_done", "gone_at"], _gone)
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

    def record(self, session_id: str, event_type: str, scene_number: int | None = None) -> None:
        """Adds one event, with the status and attempt the session has now; nothing when it is absent."""
        self._statements.change(
            RECORD,
            {"id": session_id, "event_type": event_type, "scene_number": scene_number, "now": self._now},
        )

    def bury(self, session_ids: Sequence[str], reason: TombstoneReason) -> None:
        """Writes a tombstone and an event for each session; they must still be there."""
        ids, now = as_list(session_ids), self._now
        self._statements.change(BURY, {"ids": ids, "reason": reason.value, "now": now})
        self._statements.change(RECORD_GONE, {"ids": ids, "event_type": reason.value, "scene_number": None, "now": now})

    def find_tombstone(self, session_id: str) -> Tombstone | None:
        """The newest tombstone, when an id was used more than once."""
        row = self._statements.first(FIND_TOMBSTONE, {"id": session_id})
        return None if row is None else Tombstone.model_validate(row._asdict())

    def prune_events(self, before: datetime, limit: int) -> int:
        """Deletes the events older than that among the first `limit` there are; how many went.

        The last event always stays: SQLite would hand its number out again.
        """
        first = select(events.event_id, events.occurred_at).order_by(events.event_id).limit(limit).subquery()
        last = select(func.max(events.event_id)).scalar_subquery()
        due = select(first.c.event_id).where(first.c.occurred_at < before, first.c.event_id < last)
        return self._statements.core.execute(delete(EVENTS).where(events.event_id.in_(due))).rowcount

    def prune_tombstones(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` tombstones older than that; how many went."""
        due = (
            select(tombstones.tombstone_id).where(tombstones.gone_at < before).order_by(tombstones.gone_at).limit(limit)
        )
        return self._statements.core.execute(delete(TOMBSTONES).where(tombstones.tombstone_id.in_(due))).rowcount
