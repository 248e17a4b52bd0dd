"""Figures for monitoring, in a fixed number of statements. None reads sessions, or events that are summed up."""

from collections import Counter
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import Table, Text, column, func, select, table

from sessionstore.figures import Durations, ProviderTotals
from sessionstore.models import GenerationStatus, TombstoneReason
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import ProviderCallRow, ProviderTotalsRow, RunRow, SessionRow
from sessionstore.persistence.views import EVERY_DEPARTURE, EVERY_HOUR, EVERY_STATUS
from sessionstore.providers import CallState

hours, statuses, departures = EVERY_HOUR.c, EVERY_STATUS.c, EVERY_DEPARTURE.c
sessions, runs = cast(Table, SessionRow.__table__).c, cast(Table, RunRow.__table__).c
calls, call_totals = cast(Table, ProviderCallRow.__table__).c, cast(Table, ProviderTotalsRow.__table__).c


class Flows(NamedTuple):
    """What ever happened to sessions of one media type, '' for none; columns of `every_hour`."""

    media_type: str
    created_count: int
    started_count: int
    completed_count: int
    failed_count: int
    cancelled_count: int
    retried_count: int
    recovered_count: int
    scene_count: int
    queue_ms: int
    generated_count: int
    generation_ms: int


class Standing(NamedTuple):
    """How the store stands beside its counts."""

    oldest_pending_at: datetime | None
    lease_count: int
    held_call_count: int
    schema_revision: str


_figures = (name for name in Flows._fields if name != "media_type")
FLOWS = (
    select(hours.media_type, *(func.sum(hours[name]).label(name) for name in _figures))
    .group_by(hours.media_type)
    .order_by(hours.media_type)
)
STATUS_DURATIONS = select(statuses.status, func.sum(statuses.left_count), func.sum(statuses.total_ms)).group_by(
    statuses.status
)
DEPARTURES = select(departures.reason, func.sum(departures.session_count)).group_by(departures.reason)

STANDING = select(
    select(func.min(sessions.created_at)).where(sessions.status == GenerationStatus.PENDING.value).scalar_subquery(),
    select(func.count()).where(runs.ended_at.is_(None)).scalar_subquery(),
    select(func.count()).where(calls.closed_at.is_(None), calls.state == CallState.HELD.value).scalar_subquery(),
    select(table("alembic_version", column("version_num", Text())).c.version_num).scalar_subquery(),
)

OPEN_CALLS = select(calls.provider, func.count()).where(calls.closed_at.is_(None)).group_by(calls.provider)
CLOSED_CALLS = select(
    call_totals.provider, call_totals.currency, func.sum(call_totals.call_count), func.sum(call_totals.cost_micros)
).group_by(call_totals.provider, call_totals.currency)


class MetricsRepository:
    """Asks for them, in the snapshot of its unit of work."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def standing(self) -> Standing:
        return Standing(*self._statements.first(STANDING))

    def flows(self) -> list[Flows]:
        """What ever happened, by media type in their order."""
        return [Flows(*row) for row in self._statements.rows(FLOWS)]

    def status_durations(self) -> dict[GenerationStatus, Durations]:
        """How long sessions stayed in every status, also in those that none ever left."""
        left = {status: Durations(*figures) for status, *figures in self._statements.rows(STATUS_DURATIONS)}
        return {status: left.get(status.value, Durations()) for status in GenerationStatus}

    def departed_count(self) -> dict[TombstoneReason, int]:
        """How many sessions are gone for every reason, also for those that none went for."""
        gone = dict(map(tuple, self._statements.rows(DEPARTURES)))
        return {reason: gone.get(reason.value, 0) for reason in TombstoneReason}

    def providers(self) -> dict[str, ProviderTotals]:
        """What was bought, by provider."""
        counts: Counter[str] = Counter()
        costs: dict[str, dict[str, int]] = {}
        for provider, count in self._statements.rows(OPEN_CALLS):
            counts[provider] += count
        for provider, currency, count, cost_micros in self._statements.rows(CLOSED_CALLS):
            counts[provider] += count
            if currency:
                costs.setdefault(provider, {})[currency] = cost_micros
        return {
            provider: ProviderTotals(call_count=count, cost_micros=costs.get(provider, {}))
            for provider, count in sorted(counts.items())
        }
