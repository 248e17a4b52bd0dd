"""`get_metrics`: how the store stands, and numbers that only grow."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import func, select

from sessionstore.figures import Durations, StoreMetrics
from sessionstore.models import GenerationStatus, MediaType, TombstoneReason
from sessionstore.persistence.tables import EventRow, ProviderCallRow, TombstoneRow
from sessionstore.providers import Cost
from sessionstore.testing import ManualClock, wait_for_cleanup
from sessionstore.testing.contract.group import (
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    create_in_status,
    lock_held_elsewhere,
    statements_recorded,
)
from sessionstore.testing.contract.held_calls import hold
from sessionstore.testing.contract.studio import Studio, buy
from sessionstore.testing.contract.tracking import TrackingGroup, begin, die

CARTOON, CINEMATIC = MediaType.CARTOON, MediaType.CINEMATIC


class Poem(BaseModel):
    """A request without a media type."""

    text: str


def finish(manager: Manager, clock: ManualClock, status: str, **request: Any) -> str:
    """A session that waited 2 s, was worked on for 3 s, and has two scenes."""
    session_id = manager.create_session(a_request(**request))
    clock.advance(seconds=2)
    manager.update_session_status(session_id, "processing")
    clock.advance(seconds=3)
    manager.set_session_scenes(session_id, [a_scene(1), a_scene(2)])
    manager.update_session_status(session_id, status)
    return session_id


def ever(metrics: StoreMetrics) -> tuple[Any, ...]:
    """What does not depend on how the store stands."""
    return (
        metrics.by_media_type,
        metrics.departed_count,
        metrics.retried_count,
        metrics.recovered_count,
        metrics.status_durations,
        metrics.by_provider,
    )


class MetricsContract(TrackingGroup):
    """Numbers for monitoring."""

    # How it stands

    def test_the_metrics_of_an_empty_store_are_zeros(self, manager: Manager) -> None:
        metrics = manager.get_metrics()

        assert metrics.session_count == dict.fromkeys(GenerationStatus, 0)
        assert metrics.departed_count == dict.fromkeys(TombstoneReason, 0)
        assert metrics.status_durations == dict.fromkeys(GenerationStatus, Durations())
        assert (metrics.by_media_type, metrics.by_provider) == ({}, {})
        assert (metrics.stuck_count, metrics.lease_count, metrics.held_call_count) == (0, 0, 0)
        assert (metrics.unsummed_event_count, metrics.oldest_pending_seconds) == (0, 0.0)
        assert (metrics.retried_count, metrics.recovered_count) == (0, 0)
        assert metrics.storage_bytes["database"] > 0

    def test_metrics_say_how_many_sessions_have_each_status_and_how_many_fit(self, open_manager: OpenManager) -> None:
        bounded, unbounded = open_manager(max_sessions=7), open_manager(max_sessions=None)
        for status in ("processing", "completed", "completed"):
            create_in_status(bounded, status)

        metrics = bounded.get_metrics()

        assert {str(status): count for status, count in metrics.session_count.items() if count} == {
            "processing": 1,
            "completed": 2,
        }
        assert (metrics.capacity_sessions, unbounded.get_metrics().capacity_sessions) == (7, None)

    def test_the_oldest_pending_session_is_as_old_as_its_creation(self, manager: Manager, clock: ManualClock) -> None:
        oldest = manager.create_session(a_request())
        clock.advance(seconds=1.5)
        manager.create_session(a_request())
        clock.advance(seconds=1)
        assert manager.get_metrics().oldest_pending_seconds == 2.5

        manager.update_session_status(oldest, "processing")

        assert manager.get_metrics().oldest_pending_seconds == 1.0

    def test_a_clock_that_was_set_back_makes_no_age_negative(self, manager: Manager, clock: ManualClock) -> None:
        manager.create_session(a_request())
        clock.advance(hours=-1)

        assert manager.get_metrics().oldest_pending_seconds == 0.0

    def test_metrics_count_stuck_sessions_as_health_does(self, manager: Manager, clock: ManualClock) -> None:
        create_in_status(manager, "processing")
        clock.advance(minutes=30)
        assert manager.get_metrics().stuck_count == 0

        clock.advance(seconds=1)

        assert manager.get_metrics().stuck_count == 1 == int(manager.get_health_status()["stuck_sessions"])

    def test_metrics_count_leases_and_held_calls(self, alone: Manager) -> None:
        first, second = begin(alone), begin(alone)
        metrics = alone.get_metrics()
        assert (metrics.lease_count, metrics.held_call_count) == (2, 0)

        hold(first, Studio(), 1)  # Its session fails, and the run is over.

        metrics = alone.get_metrics()
        assert (metrics.lease_count, metrics.held_call_count) == (1, 1)
        del second

    # What ever happened

    def test_metrics_tell_what_happened_by_media_type(self, manager: Manager, clock: ManualClock) -> None:
        finish(manager, clock, "completed", media_type=CARTOON)
        finish(manager, clock, "failed", media_type=CINEMATIC)
        finish(manager, clock, "completed", media_type=CINEMATIC)
        manager.create_session(a_request(media_type=CINEMATIC))

        metrics = manager.get_metrics()

        assert set(metrics.by_media_type) == {"cartoon", "cinematic"}
        cinematic = metrics.by_media_type["cinematic"]
        assert (cinematic.created_count, cinematic.scene_count) == (3, 4)
        assert cinematic.finished_count == {"completed": 1, "failed": 1, "cancelled": 0}
        assert (cinematic.queue, cinematic.generation) == (Durations(2, 4000), Durations(2, 6000))
        assert metrics.status_durations[GenerationStatus.PENDING] == Durations(3, 6000)
        assert metrics.status_durations[GenerationStatus.PROCESSING] == Durations(3, 9000)
        assert metrics.status_durations[GenerationStatus.FAILED] == Durations()

    def test_requests_without_a_media_type_are_counted_under_none(self, open_manager: OpenManager) -> None:
        manager = open_manager(request_model=Poem)

        manager.create_session(Poem(text="O moon."))

        assert manager.get_metrics().by_media_type[""].created_count == 1

    @pytest.mark.parametrize(
        ("reason", "leave"),
        [
            ("expired", lambda manager: manager.cleanup_expired_sessions(0)),
            ("evicted", lambda manager: manager.reconfigure(max_sessions=1)),
            ("removed", lambda manager: [manager.remove_session(session_id) for session_id in ("a", "b")]),
            ("cleared", lambda manager: manager.force_cleanup_all()),
        ],
    )
    def test_departures_are_told_by_their_reason(
        self, manager: Manager, clock: ManualClock, reason: str, leave: Callable[[Manager], object]
    ) -> None:
        for session_id in ("a", "b"):
            manager.create_session(a_request(), session_id=session_id)
        clock.advance(seconds=1)

        leave(manager)

        gone = {str(reason): count for reason, count in manager.get_metrics().departed_count.items() if count}
        assert gone == {reason: 1 if reason == "evicted" else 2}

    def test_a_session_that_is_put_back_counts_as_retried_and_finishes_again(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id = finish(manager, clock, "failed")
        clock.advance(seconds=7)
        manager.retry_session(session_id)
        manager.update_session_status(session_id, "cancelled")

        metrics = manager.get_metrics()

        assert metrics.retried_count == 1
        assert metrics.status_durations[GenerationStatus.FAILED] == Durations(1, 7000)
        assert metrics.by_media_type["cinematic"].finished_count == {"completed": 0, "failed": 1, "cancelled": 1}

    def test_a_session_that_is_taken_back_counts_as_recovered(self, alone: Manager, clock: ManualClock) -> None:
        alone.create_session(a_request())
        die(alone)
        clock.advance(hours=1)
        assert alone.recover_interrupted_sessions() == 1

        assert alone.get_metrics().recovered_count == 1

    def test_a_call_counts_when_it_is_begun_and_costs_once_it_is_closed(self, alone: Manager) -> None:
        run, studio = begin(alone), Studio()
        buy(run, studio, 1, cost=lambda request, result: Cost(40_000 if result else 90_000, "USD"))
        bought = alone.get_metrics().by_provider["studio"]
        assert (bought.call_count, bought.cost_micros) == (1, {})

        run.add_scene(a_scene(1))

        saved = alone.get_metrics().by_provider["studio"]
        assert (saved.call_count, saved.cost_micros) == (1, {"USD": 40_000})

    def test_a_provider_that_names_no_price_has_calls_and_no_cost(self, alone: Manager) -> None:
        run, studio = begin(alone), Studio()
        buy(run, studio, 1)
        run.add_scene(a_scene(1))
        buy(run, studio, 2)

        bought = alone.get_metrics().by_provider["studio"]

        assert (bought.call_count, bought.cost_micros) == (2, {})

    def test_what_ever_happened_outlives_cleanup_pruning_and_restarts(
        self, open_manager: OpenManager, clock: ManualClock, execute: Execute
    ) -> None:
        short = {"event_retention_days": 1, "tombstone_retention_days": 1, "cleanup_interval": 3600}
        before = open_manager(**short)
        finish(before, clock, "completed")
        run, studio = begin(before), Studio()
        buy(run, studio, 1, cost=lambda *_: Cost(40_000, "USD"))
        run.add_scene(a_scene(1))
        run.complete()
        before.force_cleanup_all()
        expected = ever(before.get_metrics())
        clock.advance(days=3)
        for _ in range(2):
            assert wait_for_cleanup(before)
        before.shutdown()

        # The last event stays, so that its number is not handed out again.
        rows = [
            execute(select(func.count()).select_from(row))[0][0] for row in (EventRow, TombstoneRow, ProviderCallRow)
        ]
        assert rows == [1, 0, 0]
        after = open_manager(**short).get_metrics()
        assert (ever(after), after.unsummed_event_count) == (expected, 0)

    def test_what_is_summed_up_and_what_waits_for_it_count_once_each(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(event_retention_days=1, cleanup_interval=3600)
        finish(manager, clock, "completed")
        finish(manager, clock, "failed")
        assert wait_for_cleanup(manager)
        finish(manager, clock, "completed")

        metrics = manager.get_metrics()

        assert metrics.by_media_type["cinematic"].finished_count == {"completed": 2, "failed": 1, "cancelled": 0}
        assert metrics.status_durations[GenerationStatus.PROCESSING] == Durations(3, 9000)
        assert metrics.unsummed_event_count == 4

    # How they are had

    def test_what_a_transaction_takes_back_was_never_counted(self, manager: Manager) -> None:
        manager.create_session(a_request())

        def work() -> None:
            with manager.transaction():
                manager.create_session(a_request())
                assert manager.get_metrics().by_media_type["cinematic"].created_count == 2
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert manager.get_metrics().by_media_type["cinematic"].created_count == 1

    def test_metrics_wait_for_no_writer(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        with lock_held_elsewhere(manager, session_id):
            assert manager.get_metrics().session_count[GenerationStatus.PENDING] == 1

    def test_metrics_take_the_same_few_statements_whatever_the_number_of_sessions(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        finish(manager, clock, "completed")
        with statements_recorded() as few:
            manager.get_metrics()
        for media_type in MediaType:
            for status in ("completed", "failed", "cancelled"):
                finish(manager, clock, status, media_type=media_type)

        with statements_recorded() as many:
            manager.get_metrics()

        assert 1 <= len(few) == len(many) <= 9
