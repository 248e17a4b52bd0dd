"""Summing events up by the hour, behind the writers."""

from typing import cast

from sqlalchemy import BigInteger, ColumnElement, Table, bindparam, case, func, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import EventRow, EventTotalsRow, EventTotalsThroughRow
from sessionstore.persistence.views import UNSUMMED_EVENTS

TOTALS, THROUGH = cast(Table, EventTotalsRow.__table__), cast(Table, EventTotalsThroughRow.__table__)
totals, unsummed = TOTALS.c, UNSUMMED_EVENTS.c

WHERE_IT_STANDS = select(
    THROUGH.c.event_id.label("summed_up"),
    select(func.max(cast(Table, EventRow.__table__).c.event_id)).scalar_subquery().label("newest"),
)
GO_ON_FROM = update(THROUGH).values(event_id=bindparam("through", type_=BigInteger()))

_KEY = [column.key for column in TOTALS.primary_key]
_EXTREMES = {"shortest_ms": func.min(unsummed.shortest_ms), "longest_ms": func.max(unsummed.longest_ms)}
_SUMS = [column.key for column in TOTALS.columns if column.key not in {*_KEY, *_EXTREMES}]
_amounts = (
    select(
        *(unsummed[name] for name in _KEY),
        *(func.sum(unsummed[name]) for name in _SUMS),
        *_EXTREMES.values(),
    )
    .where(unsummed.event_id <= bindparam("through"))
    .group_by(*(unsummed[name] for name in _KEY))
)
_added = sqlite_insert(TOTALS).from_select([*_KEY, *_SUMS, *_EXTREMES], _amounts)


def _further(name: str, *, is_beyond: ColumnElement[bool]) -> ColumnElement[int]:
    """Of the two values the one that is beyond the other, or that is there at all."""
    return case((is_beyond, _added.excluded[name]), else_=func.coalesce(totals[name], _added.excluded[name]))


SUM_UP = _added.on_conflict_do_update(
    index_elements=list(TOTALS.primary_key),
    set_={
        **{name: totals[name] + _added.excluded[name] for name in _SUMS},
        "shortest_ms": _further("shortest_ms", is_beyond=_added.excluded.shortest_ms < totals.shortest_ms),
        "longest_ms": _further("longest_ms", is_beyond=_added.excluded.longest_ms > totals.longest_ms),
    },
)


class TotalsRepository:
    """Moves what events amount to into `event_totals`. Reports are the same before and after."""

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
            self._statements.change(SUM_UP, through)
            self._statements.change(GO_ON_FROM, through)
        return count
