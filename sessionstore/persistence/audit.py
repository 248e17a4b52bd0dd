"""Adding up: whether what is counted in several places comes to the same. Reads every session."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, func, literal_column, select

from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import SessionRow, SessionTotalsRow, TombstoneRow
from sessionstore.persistence.views import EVERY_HOUR

sessions, tombstones = cast(Table, SessionRow.__table__).c, cast(Table, TombstoneRow.__table__).c
totals, hours = cast(Table, SessionTotalsRow.__table__).c, EVERY_HOUR.c


def _day_of(instant: ColumnElement[Any]) -> ColumnElement[str]:
    """As text; what another program put there may be no instant."""
    return func.coalesce(func.date(instant), literal_column("'no date'"))


# Each by the day of the creation.
_day_born, _day_buried = _day_of(sessions.created_at), _day_of(tombstones.created_at)
LIVING = select(_day_born, func.count()).group_by(_day_born)
BURIED = select(_day_buried, func.count()).group_by(_day_buried)
FORGOTTEN = select(_day_of(totals.day_at), func.sum(totals.session_count)).group_by(_day_of(totals.day_at))
CREATED = select(_day_of(hours.hour_at), func.sum(hours.created_count)).group_by(_day_of(hours.hour_at))
BY_DAY: tuple[Any, ...] = (CREATED, LIVING, BURIED, FORGOTTEN)


@dataclass(frozen=True, slots=True)
class Census:
    """Sessions created on one day, or ever: all there were, and where each of them is."""

    created: int
    living: int
    buried: int
    forgotten: int

    def adds_up(self) -> bool:
        return self.created == self.living + self.buried + self.forgotten


class AuditRepository:
    """Adds up over one snapshot."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def census(self) -> dict[str, Census]:
        """Every day of creation, and what became of its sessions."""
        by_day: list[dict[str, int]] = [dict(map(tuple, self._statements.rows(each))) for each in BY_DAY]
        days = sorted({day for found in by_day for day in found})
        return {day: Census(*(int(found.get(day) or 0) for found in by_day)) for day in days}
