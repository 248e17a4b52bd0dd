"""Counts and ages, aggregated by the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, case, func, literal, select

from sessionstore.models import SECONDS_PER_HOUR, GenerationStatus
from sessionstore.persistence.columns import Instant, seconds_between
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import SessionRow

SESSIONS = cast(Table, SessionRow.__table__)
sessions = SESSIONS.c
COUNT_SESSIONS = select(func.count()).select_from(SESSIONS)
COUNT_BY_STATUS = select(sessions.status, func.count().label("total")).group_by(sessions.status)


@dataclass(frozen=True, slots=True)
class AgeStatistics:
    """How old the living sessions are, in hours since their creation; zeros when there is none."""

    under_1h: int
    from_1h_to_6h: int
    from_6h_to_24h: int
    over_24h: int
    average_hours: float
    oldest_hours: float
    newest_hours: float


class StatisticsRepository:
    """Figures over all sessions, as of the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def count(self) -> int:
        return int(self._statements.first(COUNT_SESSIONS)[0])

    def count_by_status(self) -> dict[GenerationStatus, int]:
        """Every status, also those that no session has."""
        counted = {row.status: row.total for row in self._statements.rows(COUNT_BY_STATUS)}
        return {status: counted.get(status.value, 0) for status in GenerationStatus}

    def count_before(self, column: str, moment: datetime, status: GenerationStatus) -> int:
        """Sessions of one status whose instant `column` lies before `moment`."""
        earlier = COUNT_SESSIONS.where(sessions.status == status, sessions[column] < moment)
        return self._statements.core.execute(earlier).scalar_one()

    def ages(self) -> AgeStatistics:
        age = seconds_between(sessions.created_at, literal(self._now, Instant())) / SECONDS_PER_HOUR
        row = self._statements.core.execute(
            select(
                self._count_aged(0, 1),
                self._count_aged(1, 6),
                self._count_aged(6, 24),
                self._count_aged(24, None),
                func.coalesce(func.avg(age), 0.0),
                func.coalesce(func.max(age), 0.0),
                func.coalesce(func.min(age), 0.0),
            ).select_from(SESSIONS)
        ).one()
        return AgeStatistics(*row)

    def _count_aged(self, from_hours: int, to_hours: int | None) -> ColumnElement[Any]:
        """Sessions whose age lies in [from, to); the first bracket takes those of the future too."""
        inside: ColumnElement[bool] = literal(True)
        if from_hours:
            inside = sessions.created_at <= self._now - timedelta(hours=from_hours)
        if to_hours is not None:
            inside = inside & (sessions.created_at > self._now - timedelta(hours=to_hours))
        return func.count(case((inside, 1)))
