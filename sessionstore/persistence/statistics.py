"""Counts and ages, from the counts that the database keeps itself: as fast at a million sessions as at ten."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import Table, and_, bindparam, case, exists, func, select

from sessionstore.clock import hours_before
from sessionstore.models import SECONDS_PER_HOUR, GenerationStatus
from sessionstore.persistence.columns import Instant
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.spared import IS_NOT_SPARED
from sessionstore.persistence.tables import SessionCountRow, SessionRow

SESSIONS, COUNTS = cast(Table, SessionRow.__table__), cast(Table, SessionCountRow.__table__)
sessions, counts = SESSIONS.c, COUNTS.c

_sum_of_sessions = select(func.coalesce(func.sum(counts.sessions), 0))
COUNT_BY_STATUS = select(counts.value, counts.sessions).where(counts.counted_by == "status")
COUNT_SESSIONS = select(counts.sessions, counts.created_ms).where(counts.counted_by == "all")
EXTREMES = select(
    select(func.min(sessions.created_at)).scalar_subquery().label("first"),
    select(func.max(sessions.created_at)).scalar_subquery().label("last"),
)

COUNTED_FROM = datetime(2020, 1, 1, tzinfo=UTC)

# Whole minutes come from the counts; of the one in which `moment` lies, the sessions are looked at.
_moment, _minute_end = bindparam("moment", type_=Instant()), bindparam("minute_end", type_=Instant())
COUNT_CREATED_AFTER = select(
    _sum_of_sessions.where(counts.counted_by == "created", counts.value > bindparam("minute")).scalar_subquery()
    + select(func.count())
    .select_from(SESSIONS)
    .where(sessions.created_at > _moment, sessions.created_at <= _minute_end)
    .scalar_subquery()
)
_quiet_in_the_minute = and_(
    sessions.status == GenerationStatus.PROCESSING.value,
    sessions.updated_at < _moment,
    sessions.updated_at >= bindparam("minute_start", type_=Instant()),
)
COUNT_QUIET_SINCE = select(
    _sum_of_sessions.where(counts.counted_by == "quiet", counts.value < bindparam("minute")).scalar_subquery()
    + case(
        (
            exists().where(counts.counted_by == "quiet", counts.value == bindparam("minute"), counts.sessions > 0),
            select(func.count()).select_from(SESSIONS).where(_quiet_in_the_minute).scalar_subquery(),
        ),
        else_=0,
    )
)


@dataclass(frozen=True, slots=True)
class AgeStatistics:
    """How old the living sessions are, in hours since their creation; zeros when there is none."""

    under_1h: int = 0
    from_1h_to_6h: int = 0
    from_6h_to_24h: int = 0
    over_24h: int = 0
    average_hours: float = 0.0
    oldest_hours: float = 0.0
    newest_hours: float = 0.0


class StatisticsRepository:
    """Figures over all sessions, as of the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def count(self) -> int:
        return int(self._statements.first(COUNT_SESSIONS).sessions)

    def count_by_status(self) -> dict[GenerationStatus, int]:
        """Every status, also those that no session has."""
        counted = {row.value: row.sessions for row in self._statements.rows(COUNT_BY_STATUS)}
        return {status: counted.get(status.value, 0) for status in GenerationStatus}

    def count_before(self, column: str, moment: datetime, status: GenerationStatus) -> int:
        """Sessions of one status whose instant `column` lies before `moment`, but for spared ones. Reads each."""
        earlier = select(func.count()).where(sessions.status == status, sessions[column] < moment, IS_NOT_SPARED)
        return self._statements.core.execute(earlier).scalar_one()

    def count_quiet_since(self, moment: datetime) -> int:
        """Processing sessions that nothing was written for since before `moment`.

        Reads processing sessions only while one of them was last written in the very minute of `moment`.
        """
        minute_start = moment.replace(second=0, microsecond=0)
        parameters = {"moment": moment, "minute": _minute_of(moment), "minute_start": minute_start}
        return int(self._statements.first(COUNT_QUIET_SINCE, parameters)[0])

    def ages(self) -> AgeStatistics:
        total, created_ms = self._statements.first(COUNT_SESSIONS)
        extremes = self._statements.first(EXTREMES)
        if not total or extremes.first is None:
            return AgeStatistics()
        within_1h, within_6h, within_24h = (self._count_younger_than(hours) for hours in (1, 6, 24))
        return AgeStatistics(
            within_1h,
            within_6h - within_1h,
            within_24h - within_6h,
            total - within_24h,
            self._hours_since(COUNTED_FROM + timedelta(milliseconds=created_ms / total)),
            self._hours_since(extremes.first),
            self._hours_since(extremes.last),
        )

    def _count_younger_than(self, hours: int) -> int:
        """Those of the future too."""
        moment = hours_before(self._now, hours)
        minute_end = moment.replace(second=59, microsecond=999_000)
        parameters = {"moment": moment, "minute": _minute_of(moment), "minute_end": minute_end}
        return int(self._statements.first(COUNT_CREATED_AFTER, parameters)[0])

    def _hours_since(self, moment: datetime) -> float:
        return (self._now - moment).total_seconds() / SECONDS_PER_HOUR


def _minute_of(moment: datetime) -> str:
    """As the triggers cut it from an instant's text."""
    return moment.isoformat(" ", "minutes")[:16]
