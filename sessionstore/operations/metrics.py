"""How the store stands and what ever happened in it, in numbers, for monitoring."""

from datetime import datetime

from sessionstore.figures import Durations, MediaTypeTotals, StoreMetrics
from sessionstore.models import GenerationStatus
from sessionstore.operations.statistics import count_stuck
from sessionstore.operations.store import Store
from sessionstore.persistence.metrics import Flows
from sessionstore.persistence.unit import UnitOfWork


def measure(store: Store) -> StoreMetrics:
    """The metrics, from one snapshot."""
    storage_bytes = store.engine.storage_bytes()

    def work(unit: UnitOfWork) -> StoreMetrics:
        flows, standing = unit.metrics.flows(), unit.metrics.standing()
        return StoreMetrics(
            session_count=unit.statistics.count_by_status(),
            capacity_sessions=store.settings.max_sessions,
            stuck_count=count_stuck(unit, store.settings),
            oldest_pending_seconds=_seconds_since(standing.oldest_pending_at, unit.now),
            lease_count=standing.lease_count,
            held_call_count=standing.held_call_count,
            unsummed_event_count=unit.totals.count_unsummed(),
            storage_bytes=storage_bytes,
            schema_revision=standing.schema_revision,
            by_media_type={each.media_type: _totals(each) for each in flows},
            departed_count=unit.metrics.departed_count(),
            retried_count=sum(each.retried_count for each in flows),
            recovered_count=sum(each.recovered_count for each in flows),
            status_durations=unit.metrics.status_durations(),
            by_provider=unit.metrics.providers(),
        )

    return store.engine.read(work)


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())


def _totals(flows: Flows) -> MediaTypeTotals:
    return MediaTypeTotals(
        created_count=flows.created_count,
        finished_count={
            GenerationStatus.COMPLETED: flows.completed_count,
            GenerationStatus.FAILED: flows.failed_count,
            GenerationStatus.CANCELLED: flows.cancelled_count,
        },
        scene_count=flows.scene_count,
        queue=Durations(flows.started_count, flows.queue_ms),
        generation=Durations(flows.generated_count, flows.generation_ms),
    )
