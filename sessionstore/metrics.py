"""A store for Prometheus: a collector for applications that serve metrics, and the same as text. Extra `metrics`."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from sessionstore.figures import Durations, StoreMetrics

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager

logger = logging.getLogger(__name__)

MS_PER_SECOND = 1000
MICROS_PER_UNIT = 1_000_000


class Family(NamedTuple):
    """What a metric is: its kind, what it says and from where, and the labels that tell its samples apart."""

    kind: Any
    help: str
    labels: tuple[str, ...] = ()


UP = "sessionstore_up"
GAUGES = {
    UP: Family(GaugeMetricFamily, "1 when the store could be read, else 0 and nothing beside it."),
    "sessionstore_sessions": Family(
        GaugeMetricFamily, "Living sessions by status, from table session_counts.", ("status",)
    ),
    "sessionstore_capacity_sessions": Family(
        GaugeMetricFamily, "Setting max_sessions of the process that answers; absent when it is unbounded."
    ),
    "sessionstore_stuck_sessions": Family(
        GaugeMetricFamily, "Processing sessions that nothing was written for in stuck_after_minutes."
    ),
    "sessionstore_oldest_pending_seconds": Family(
        GaugeMetricFamily, "Time since the oldest pending session was created; 0 when none is pending."
    ),
    "sessionstore_leases": Family(GaugeMetricFamily, "Sessions that a worker has, from the open rows of table runs."),
    "sessionstore_held_calls": Family(
        GaugeMetricFamily, "Paid calls that wait for a person, as sessionstore held lists them."
    ),
    "sessionstore_unsummed_events": Family(
        GaugeMetricFamily, "Rows of table session_events that are not in the totals of hours yet."
    ),
    "sessionstore_database_bytes": Family(
        GaugeMetricFamily, "Sizes on disk: the database file, and the write-ahead log beside it.", ("file",)
    ),
    "sessionstore_schema_info": Family(GaugeMetricFamily, "1, with the revision of the schema.", ("revision",)),
}
COUNTERS = {
    "sessionstore_sessions_created_total": Family(
        CounterMetricFamily, "Sessions ever created, from the events.", ("media_type",)
    ),
    "sessionstore_sessions_finished_total": Family(
        CounterMetricFamily,
        "Changes to a terminal status ever made, from the events; a session that is retried finishes again.",
        ("media_type", "status"),
    ),
    "sessionstore_sessions_departed_total": Family(
        CounterMetricFamily, "Sessions that are gone, by why, from the events.", ("reason",)
    ),
    "sessionstore_sessions_retried_total": Family(
        CounterMetricFamily, "Finished sessions that were put back, from the events."
    ),
    "sessionstore_sessions_recovered_total": Family(
        CounterMetricFamily,
        "Sessions taken back from workers that were gone, and corrupted ones that were reset, from the events.",
    ),
    "sessionstore_scenes_saved_total": Family(
        CounterMetricFamily, "Scenes ever saved, replaced ones too, from the events.", ("media_type",)
    ),
    "sessionstore_queue_seconds": Family(
        SummaryMetricFamily, "From the creation of a session to its first start, from the events.", ("media_type",)
    ),
    "sessionstore_generation_seconds": Family(
        SummaryMetricFamily, "From the first start of a session to its finish, from the events.", ("media_type",)
    ),
    "sessionstore_status_seconds": Family(
        SummaryMetricFamily,
        "How long sessions stayed in a status before they went on to another one, from the events.",
        ("status",),
    ),
    "sessionstore_provider_calls_total": Family(
        CounterMetricFamily, "Paid calls ever begun, whatever became of them, from the ledger.", ("provider",)
    ),
    "sessionstore_provider_cost_total": Family(
        CounterMetricFamily,
        "What paid calls cost that are closed (saved, failed or abandoned), in units of the currency, from the ledger.",
        ("provider", "currency"),
    ),
}
FAMILIES = GAUGES | COUNTERS

# Values of the labels, and the value; of a summary the count and the sum.
Sample = tuple[tuple[str, ...], tuple[float, ...]]


class SessionStoreCollector(Collector):
    """What a registry of prometheus_client asks at each scrape: `REGISTRY.register(SessionStoreCollector(manager))`.

    A scrape is one `get_metrics`. When that fails, and once the manager is shut down, all that there is is
    `sessionstore_up 0`, and the first failure of a row is logged; other metrics of the registry are none the worse.
    One to a registry, since the metrics of two stores have the same names.
    """

    def __init__(self, manager: "SessionManager[Any, Any]") -> None:
        self._manager = manager
        self._is_failing = False

    def describe(self) -> Iterable[Metric]:
        """The names, so that registering reads no store."""
        return [_metric(name, ()) for name in FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """How the store stands now; never raises."""
        try:
            metrics = self._manager.get_metrics()
        except Exception:
            if not self._is_failing:
                logger.warning("the store cannot be measured; that is not said again until it can be", exc_info=True)
            self._is_failing = True
            yield _metric(UP, [((), (0,))])
            return
        self._is_failing = False
        yield from families_of(metrics)


def as_text(metrics: StoreMetrics) -> bytes:
    """The metrics in the text format of Prometheus, which is UTF-8 whatever the locale."""
    registry = CollectorRegistry()
    registry.register(_Measured(metrics))
    return generate_latest(registry)


def families_of(metrics: StoreMetrics) -> Iterator[Metric]:
    """The metrics as prometheus_client knows them; what has no samples, such as no capacity, is left out."""
    for name, samples in (_standing(metrics) | _of_media_types(metrics) | _others(metrics)).items():
        if samples:
            yield _metric(name, samples)


class _Measured(Collector):
    def __init__(self, metrics: StoreMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return families_of(self._metrics)


def _metric(name: str, samples: Iterable[Sample]) -> Metric:
    family = FAMILIES[name]
    metric = family.kind(name, family.help, labels=family.labels)
    for labels, values in samples:
        metric.add_metric(labels, *values)
    assert isinstance(metric, Metric)
    return metric


def _standing(metrics: StoreMetrics) -> dict[str, list[Sample]]:
    capacity = metrics.capacity_sessions
    return {
        UP: _one(1),
        "sessionstore_sessions": _each(metrics.session_count),
        "sessionstore_capacity_sessions": [] if capacity is None else _one(capacity),
        "sessionstore_stuck_sessions": _one(metrics.stuck_count),
        "sessionstore_oldest_pending_seconds": _one(metrics.oldest_pending_seconds),
        "sessionstore_leases": _one(metrics.lease_count),
        "sessionstore_held_calls": _one(metrics.held_call_count),
        "sessionstore_unsummed_events": _one(metrics.unsummed_event_count),
        "sessionstore_database_bytes": _each(metrics.storage_bytes),
        "sessionstore_schema_info": _each({metrics.schema_revision: 1}),
    }


def _of_media_types(metrics: StoreMetrics) -> dict[str, list[Sample]]:
    totals = metrics.by_media_type
    return {
        "sessionstore_sessions_created_total": _each({name: each.created_count for name, each in totals.items()}),
        "sessionstore_sessions_finished_total": [
            ((name, status), (count,)) for name, each in totals.items() for status, count in each.finished_count.items()
        ],
        "sessionstore_scenes_saved_total": _each({name: each.scene_count for name, each in totals.items()}),
        "sessionstore_queue_seconds": _summaries({name: each.queue for name, each in totals.items()}),
        "sessionstore_generation_seconds": _summaries({name: each.generation for name, each in totals.items()}),
    }


def _others(metrics: StoreMetrics) -> dict[str, list[Sample]]:
    providers = metrics.by_provider
    return {
        "sessionstore_sessions_departed_total": _each(metrics.departed_count),
        "sessionstore_sessions_retried_total": _one(metrics.retried_count),
        "sessionstore_sessions_recovered_total": _one(metrics.recovered_count),
        "sessionstore_status_seconds": _summaries(metrics.status_durations),
        "sessionstore_provider_calls_total": _each({name: each.call_count for name, each in providers.items()}),
        "sessionstore_provider_cost_total": [
            ((name, currency), (micros / MICROS_PER_UNIT,))
            for name, each in providers.items()
            for currency, micros in each.cost_micros.items()
        ],
    }


def _one(value: float) -> list[Sample]:
    return [((), (value,))]


def _each(values: Mapping[Any, float]) -> list[Sample]:
    return [((str(label),), (value,)) for label, value in values.items()]


def _summaries(durations: Mapping[Any, Durations]) -> list[Sample]:
    return [((str(label),), (each.count, each.total_ms / MS_PER_SECOND)) for label, each in durations.items()]
