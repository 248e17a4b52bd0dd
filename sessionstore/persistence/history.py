"""Events and tombstones: what is kept of changes, and of sessions that are gone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Integer, Table, bindparam, delete, func, insert, literal, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from sessionstore.models import Tombstone, TombstoneReason
from sessionstore.persistence.checksums import MISMATCH, as_stored, bound_as_stored, checksum_of, is_sound, stored
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.columns import Instant, as_list, day_of, each_of, instant_from
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.repository import SessionRepository
from sessionstore.persistence.session_rows import sound_states
from sessionstore.persistence.tables import (
    EventRow,
    SessionTotalsRow,
    SummedUpRow,
    TombstoneRow,
)

EVENTS, TOMBSTONES = cast(Table, EventRow.__table__), cast(Table, TombstoneRow.__table__)
TOTALS, SUMMED_UP = cast(Table, SessionTotalsRow.__table__), cast(Table, SummedUpRow.__table__)
events, tombstones = EVENTS.c, TOMBSTONES.c

# What an event says for the reports, where it has something to say.
FIGURES = ("left_status", "duration_ms", "queue_ms", "generation_ms", "scene_count")

SIGNED_EVENT = [name for name in events.keys() if name not in {"event_id", "checksum"}]  # noqa: SIM118 - no mapping
RECORD = insert(EVENTS).values(bound_as_stored(events, (*SIGNED_EVENT, "checksum")))

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
LAST_EVENT = select(events.occurred_at).order_by(events.event_id.desc()).limit(literal(1))
SIGNED_TOMBSTONE = [name for name in tombstones.keys() if name not in {"tombstone_id", "checksum"}]  # noqa: SIM118
BURY = insert(TOMBSTONES).values(bound_as_stored(tombstones, (*SIGNED_TOMBSTONE, "checksum")))
FIND_TOMBSTONE = (
    select(*(as_stored(column) for column in tombstones))
    .where(tombstones.session_id == bindparam("id"))
    .order_by(tombstones.tombstone_id.desc())
    .limit(literal(1))
)
OLD_TOMBSTONES = (
    select(*(as_stored(column) for column in tombstones))
    .where(tombstones.gone_at < bindparam("before", type_=Instant()))
    .order_by(tombstones.gone_at)
    .limit(bindparam("limit", type_=Integer()))
)
FIRST_EVENTS = (
    select(*(as_stored(column) for column in events))
    .order_by(events.event_id)
    .limit(bindparam("limit", type_=Integer()))
)
_tombstone_instants = [column.key for column in tombstones if isinstance(column.type, Instant)]


def is_sound_tombstone(row: Any) -> bool:
    """Whether a row, its number first and its checksum last, is what was signed."""
    return is_sound(row[-1], row[1:-1])


def read_tombstone(row: Any) -> Tombstone:
    """The tombstone of a row as it stands; SessionCorruptedError for what is none."""
    fields = row._asdict()
    try:
        return Tombstone.model_validate(fields | {name: instant_from(fields[name]) for name in _tombstone_instants})
    except (ValueError, TypeError):
        raise corrupted(str(row.session_id), "tombstone") from None


class HistoryRepository:
    """Appends to the history and prunes it, at the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, now: datetime, sessions: SessionRepository) -> None:
        self._statements = statements
        self._now = now
        self._sessions = sessions

    def record(self, session_id: str, event_type: str, scene_number: int | None = None, **figures: Any) -> None:
        """Adds one event, with the status and attempt the session has now; nothing when it is absent.

        `figures` are those of `FIGURES` that it has.
        """
        row = self._sessions.written_state(session_id)
        if row is not None:
            self._append(row, event_type, {**figures, "scene_number": scene_number})

    def bury(self, session_ids: Sequence[str], reason: TombstoneReason) -> None:
        """Writes a tombstone and an event for each session; they must still be there.

        Raises:
            SessionCorruptedError: when one of them is damaged.
        """
        rows = sound_states(self._statements, session_ids)
        for session_id in set(session_ids) - {row.session_id for row in rows}:
            raise corrupted(session_id, "state", MISMATCH)
        for row in rows:
            tombstone = {name: getattr(row, name) for name in INHERITED}
            tombstone |= {"reason": reason.value, "gone_at": stored(self._now)}
            checksum = checksum_of([tombstone[name] for name in SIGNED_TOMBSTONE])
            self._statements.change(BURY, {**tombstone, "checksum": checksum})
            self._append(row, reason.value, {"scene_number": None})

    def _append(self, session: Any, event_type: str, figures: Mapping[str, Any]) -> None:
        now = stored(self._now)
        values = (
            session.session_id,
            event_type,
            session.status,
            figures["scene_number"],
            session.attempt,
            now,
            f"{now[:13]}:00:00.000",
            session.media_type,
            *map(figures.get, FIGURES),
        )
        event = dict(zip(SIGNED_EVENT, values, strict=True))
        event["checksum"] = checksum_of(values)
        self._statements.change(RECORD, event)

    def find_tombstone(self, session_id: str) -> Tombstone | None:
        """The newest tombstone, when an id was used more than once.

        Raises:
            SessionCorruptedError: when it is damaged.
        """
        row = self._statements.first(FIND_TOMBSTONE, {"id": session_id})
        if row is None:
            return None
        if row.session_id != session_id or not is_sound_tombstone(row):
            raise corrupted(session_id, "tombstone", MISMATCH)
        return read_tombstone(row)

    def last_event_at(self) -> datetime | None:
        """When the last event happened, by the clock of whoever wrote it; None too when that is damaged."""
        try:
            row = self._statements.first(LAST_EVENT)
        except (ValueError, TypeError):
            return None  # A store must open for its damage to be found.
        moment: datetime | None = row and row.occurred_at
        return moment

    def prune_events(self, before: datetime, limit: int) -> int:
        """Deletes what is older than that among the first `limit` events there are; how many went.

        And whatever came before such an event, though a clock that was ahead gave it a later time: what is left has no
        gaps. What is not summed up yet stays, and so does the last event: SQLite would hand its number out again.
        The time of a damaged event counts for nothing.
        """
        rows = self._statements.rows(FIRST_EVENTS, {"limit": limit})
        past = [row.event_id for row in rows if is_sound(row[-1], row[1:-1]) and row.occurred_at < stored(before)]
        last = select(func.max(events.event_id)).scalar_subquery()
        summed_up = select(SUMMED_UP.c.event_id).scalar_subquery()
        due = (events.event_id <= max(past, default=0), events.event_id < last, events.event_id <= summed_up)
        return self._statements.core.execute(delete(EVENTS).where(*due)).rowcount

    def prune_tombstones(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` tombstones older than that, whose figures go to the daily totals; how many went.

        Damaged ones stay: what they amount to is not known.
        """
        rows = self._statements.rows(OLD_TOMBSTONES, {"before": before, "limit": limit})
        sound = [row.tombstone_id for row in rows if is_sound_tombstone(row) and row.gone_at < stored(before)]
        execute, ids = self._statements.core.execute, {"ids": as_list(sound)}
        execute(ADD_TO_TOTALS, ids)
        return execute(DELETE_TOMBSTONES, ids).rowcount


def _adding_to_totals() -> Any:
    """A statement that adds what some tombstones amount to, to the totals of the days they were created on."""
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
    amounts = select(*key, *figures.values()).where(_is_one_of_them).group_by(*key)
    added = sqlite_insert(TOTALS).from_select([*TOTALS.primary_key.columns.keys(), *figures], amounts)
    return added.on_conflict_do_update(
        index_elements=list(TOTALS.primary_key), set_={name: TOTALS.c[name] + added.excluded[name] for name in figures}
    )


_is_one_of_them = tombstones.tombstone_id.in_(each_of("ids"))
ADD_TO_TOTALS = _adding_to_totals()
DELETE_TOMBSTONES = delete(TOMBSTONES).where(_is_one_of_them)
