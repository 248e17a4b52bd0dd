"""What the doctor asks of the rows, beside whether they add up: which sessions there are, and how new the newest is."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Integer, Table, bindparam, func, literal, select, union_all

from sessionstore.persistence.columns import Instant
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import EventRow, SessionCountRow, SessionRow

sessions, events = cast(Table, SessionRow.__table__).c, cast(Table, EventRow.__table__).c
counts = cast(Table, SessionCountRow.__table__).c
LIMIT: Any = bindparam("limit", type_=Integer())
IDS_AFTER = (
    select(sessions.session_id)
    .where(sessions.session_id > bindparam("after"))
    .order_by(sessions.session_id)
    .limit(LIMIT)
)
NEWEST_IDS = select(sessions.session_id).order_by(sessions.created_at.desc(), sessions.session_id.desc()).limit(LIMIT)
# Each finds its answer at the end of an index; that of the last writes is the beginning of a minute.
_newest = union_all(
    select(func.max(sessions.created_at).label("at")),
    select(func.max(counts.value + literal(":00.000"))).where(counts.counted_by == literal("quiet")),
    select(events.occurred_at).where(events.event_id == select(func.max(events.event_id)).scalar_subquery()),
).subquery()
NEWEST = select(func.max(_newest.c.at, type_=Instant()).label("at"))


class ExaminationRepository:
    """Looks over one snapshot."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def ids_after(self, session_id: str, limit: int) -> list[str]:
        """Ids beyond that one, in their order: page by page all there are."""
        return self._statements.column(IDS_AFTER, {"after": session_id, "limit": limit})

    def newest_ids(self, limit: int) -> list[str]:
        return self._statements.column(NEWEST_IDS, {"limit": limit})

    def newest_instant(self) -> datetime | None:
        """When the newest session or event was made, or a session in work last written to; None for an empty store."""
        newest: datetime | None = self._statements.first(NEWEST).at
        return newest
