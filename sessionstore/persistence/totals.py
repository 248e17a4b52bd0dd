"""Summing events up by the hour, behind the writers."""

from typing import Any, cast

from sqlalchemy import BigInteger, Insert, Table, bindparam, case, func, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import DepartureTotalsRow, EventRow, HourTotalsRow, StatusTotalsRow, SummedUpRow
from sessionstore.persistence.views import UNSUMMED_DEPARTURES, UNSUMMED_HOURS, UNSUMMED_STATUSES

SUMMED_UP = cast(Table, SummedUpRow.__table__)
WHERE_IT_STANDS = select(
    SUMMED_UP.c.event_id.label("summed_up"),
    select(func.max(cast(Table, EventRow.__table__).c.event_id)).scalar_subquery().label("newest"),
)
GO_ON_FROM = update(SUMMED_UP).values(event_id=bindparam("through", type_=BigInteger()))


def _adding(unsummed: Table, totals: Table) -> Insert:
    """A statement that adds what events up to `through` amount to, to the totals of the same columns."""
    key = [column.key for column in totals.primary_key]
    figures = [column.key for column in totals.columns if column.key not in key]
    amounts = (
        select(*(unsummed.c[name] for name in key), *(_aggregate_of(name)(unsummed.c[name]) for name in figures))
        .where(unsummed.c.event_id <= bindparam("through"))
        .group_by(*(unsummed.c[name] for name in key))
    )
    added = sqlite_insert(totals).from_select([*key, *figures], amounts)
    together = {name: _together(name, totals.c[name], added.excluded[name]) for name in figures}
    return added.on_conflict_do_update(index_elements=list(totals.primary_key), set_=together)


def _aggregate_of(name: str) -> Any:
    return {"min": func.min, "max": func.max}.get(name.partition("_")[0], func.sum)


def _together(name: str, old: Any, new: Any) -> Any:
    """Of two sums their sum; of two extremes the one beyond the other, or the one that is there at all."""
    if name.startswith("min_"):
        return case((new < old, new), else_=func.coalesce(old, new))
    if name.startswith("max_"):
        return case((new > old, new), else_=func.coalesce(old, new))
    return old + new


SUM_UP = (
    _adding(UNSUMMED_HOURS, cast(Table, HourTotalsRow.__table__)),
    _adding(UNSUMMED_STATUSES, cast(Table, StatusTotalsRow.__table__)),
    _adding(UNSUMMED_DEPARTURES, cast(Table, DepartureTotalsRow.__table__)),
)


class TotalsRepository:
    """Moves what events amount to into the totals of their hours. Reports are the same before and after."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def count_unsummed(self) -> int:
        """How many events are not summed up yet."""
        state = self._statements.first(WHERE_IT_STANDS)
        return int(max(0, (state.newest or 0) - state.summed_up))

    def sum_up(self, limit: int) -> int:
        """Sums up at most `limit` events, the oldest first; how many."""
        count = min(limit, self.count_unsummed())
        if count:
            through = {"through": self._statements.first(WHERE_IT_STANDS).summed_up + count}
            for statement in (*SUM_UP, GO_ON_FROM):
                self._statements.change(statement, through)
        return count
