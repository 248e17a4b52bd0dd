"""`get_performance_stats` and `get_health_status`."""

import pytest

from sessionstore.models import GenerationStatus
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    create_in_status,
    saved,
    statements_recorded,
)


def create_many(manager: Manager, count: int) -> None:
    with manager.transaction():
        for _ in range(count):
            manager.create_session(a_request())


class StatisticsContract(ContractGroup):
    """The ancestor's figures, with its keys."""

    def test_the_figures_of_an_empty_store_are_zeros(self, manager: Manager) -> None:
        assert manager.get_performance_stats() == {
            "total_sessions": 0,
            "max_capacity": 100,
            "utilization_percent": 0.0,
            "status_breakdown": {str(status): 0 for status in GenerationStatus},
            "age_distribution": {"under_1h": 0, "1h_to_6h": 0, "6h_to_24h": 0, "over_24h": 0},
            "average_age_hours": 0.0,
            "oldest_session_hours": 0.0,
            "newest_session_hours": 0.0,
        }

    def test_the_breakdown_counts_each_status(self, manager: Manager) -> None:
        for status in ("processing", "completed", "completed", "failed"):
            create_in_status(manager, status)

        stats = manager.get_performance_stats()

        assert stats["total_sessions"] == 4
        assert stats["status_breakdown"] == {
            "pending": 0,
            "processing": 1,
            "downloading": 0,
            "completed": 2,
            "failed": 1,
            "cancelled": 0,
        }

    def test_ages_are_counted_from_the_creation(self, manager: Manager, clock: ManualClock) -> None:
        # By hours before now: 30, 24, 12, 6, 3, 1, 0.5.
        for hours_to_the_next in (6, 12, 6, 3, 2, 0.5, 0.5):
            manager.create_session(a_request())
            clock.advance(hours=hours_to_the_next)

        stats = manager.get_performance_stats()

        assert stats["age_distribution"] == {"under_1h": 1, "1h_to_6h": 2, "6h_to_24h": 2, "over_24h": 2}
        assert stats["average_age_hours"] == pytest.approx(76.5 / 7, abs=0.01)
        assert (stats["oldest_session_hours"], stats["newest_session_hours"]) == (30.0, 0.5)

    def test_utilization_is_a_percentage_of_the_capacity(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=8)
        create_many(manager, 1)

        stats = manager.get_performance_stats()

        assert (stats["max_capacity"], stats["utilization_percent"]) == (8, 12.5)
        assert manager.get_health_status()["utilization_percent"] == "12.5%"

    def test_an_unbounded_store_is_never_full(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=None)
        create_many(manager, 3)

        stats, health = manager.get_performance_stats(), manager.get_health_status()

        assert (stats["max_capacity"], stats["utilization_percent"]) == (None, 0.0)
        assert (health["overall_health"], health["utilization_percent"]) == ("healthy", "0.0%")

    def test_the_figures_are_aggregated_by_the_database(self, manager: Manager) -> None:
        create_many(manager, 2)
        with statements_recorded() as few:
            manager.get_performance_stats()
        create_many(manager, 20)

        with statements_recorded() as many:
            manager.get_performance_stats()

        assert 1 <= len(few) == len(many)

    # Health

    def test_health_is_told_in_text(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=25)
        create_many(manager, 3)

        assert manager.get_health_status() == {
            "overall_health": "healthy",
            "session_count": "3",
            "utilization_percent": "12.0%",
            "stuck_sessions": "0",
            "cleanup_active": "yes",
        }

    @pytest.mark.parametrize(
        ("count", "verdict"), [(0, "healthy"), (13, "healthy"), (14, "warning"), (17, "warning"), (18, "critical")]
    )
    def test_health_is_warning_from_70_percent_and_critical_from_90(
        self, open_manager: OpenManager, count: int, verdict: str
    ) -> None:
        manager = open_manager(max_sessions=20)
        create_many(manager, count)

        assert manager.get_health_status()["overall_health"] == verdict

    def test_a_processing_session_untouched_for_30_minutes_is_stuck(self, manager: Manager, clock: ManualClock) -> None:
        for status in GenerationStatus:
            create_in_status(manager, status)
        clock.advance(minutes=30)
        assert manager.get_health_status()["stuck_sessions"] == "0"

        clock.advance(seconds=1)

        assert manager.get_health_status()["stuck_sessions"] == "1"

    def test_a_sign_of_life_ends_being_stuck_and_a_look_does_not(self, manager: Manager, clock: ManualClock) -> None:
        session_id = create_in_status(manager, "processing")
        clock.advance(minutes=31)

        saved(manager, session_id)
        assert manager.get_health_status()["stuck_sessions"] == "1"

        manager.update_session_progress(session_id, 1, 2, "half")
        assert manager.get_health_status()["stuck_sessions"] == "0"
