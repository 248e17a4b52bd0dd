"""How the store stands, in the ancestor's dictionaries."""

from typing import Any

from sessionstore.clock import hours_before
from sessionstore.operations.store import Store
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.settings import Settings

MINUTES_PER_HOUR = 60
# Of the capacity, in per cent: below the first all is well, below the second it gets tight.
WARNING_AT_PERCENT = 70
CRITICAL_AT_PERCENT = 90


def count(store: Store) -> int:
    """How many sessions there are."""
    return store.engine.read(lambda unit: unit.statistics.count())


def performance(store: Store) -> dict[str, Any]:
    """Counts, ages and utilization, from one snapshot."""

    def work(unit: UnitOfWork) -> dict[str, Any]:
        by_status = unit.statistics.count_by_status()
        total = sum(by_status.values())
        ages = unit.statistics.ages()
        return {
            "total_sessions": total,
            "max_capacity": store.settings.max_sessions,
            "utilization_percent": _utilization_percent(total, store.settings.max_sessions),
            "status_breakdown": {status.value: number for status, number in by_status.items()},
            "age_distribution": {
                "under_1h": ages.under_1h,
                "1h_to_6h": ages.from_1h_to_6h,
                "6h_to_24h": ages.from_6h_to_24h,
                "over_24h": ages.over_24h,
            },
            "average_age_hours": round(ages.average_hours, 2),
            "oldest_session_hours": round(ages.oldest_hours, 2),
            "newest_session_hours": round(ages.newest_hours, 2),
        }

    return store.engine.read(work)


def health(store: Store, *, cleanup_active: bool) -> dict[str, str]:
    """The state of the store in words."""

    def work(unit: UnitOfWork) -> dict[str, str]:
        total = unit.statistics.count()
        utilization = _utilization_percent(total, store.settings.max_sessions)
        return {
            "overall_health": _verdict(utilization),
            "session_count": str(total),
            "utilization_percent": f"{utilization:.1f}%",
            "stuck_sessions": str(count_stuck(unit, store.settings)),
            "cleanup_active": "yes" if cleanup_active else "no",
        }

    return store.engine.read(work)


def count_stuck(unit: UnitOfWork, settings: Settings) -> int:
    """Processing sessions that nothing was written for in `stuck_after_minutes`.

    Reads do not count: a page that polls a dead session would keep it looking alive.
    """
    silent_since = hours_before(unit.now, settings.stuck_after_minutes / MINUTES_PER_HOUR)
    return unit.statistics.count_quiet_since(silent_since)


def _utilization_percent(total: int, capacity: int | None) -> float:
    return 0.0 if capacity is None else round(100 * total / capacity, 1)


def _verdict(utilization_percent: float) -> str:
    if utilization_percent < WARNING_AT_PERCENT:
        return "healthy"
    return "warning" if utilization_percent < CRITICAL_AT_PERCENT else "critical"
