"""The reports that are no view: the timeline of one session, and durations over many."""

from datetime import timedelta

import pytest

from sessionstore.errors import SessionNotFoundError
from sessionstore.testing import ManualClock, wait_for_cleanup
from sessionstore.testing.contract.days import TwoDaysGroup, instant
from sessionstore.testing.contract.group import PATIENCE_SECONDS, Manager, OpenManager, a_request, a_scene

# Up to and beyond each class: the end that a duration belongs to.
CLASSES = {
    **{0: 0, 1: 1, 2: 2, 3: 3, 4: 5, 5: 5, 6: 7, 7: 7, 8: 10, 9: 10, 10: 10, 11: 15, 15: 15, 16: 20, 20: 20, 21: 30},
    **{99: 100, 100: 100, 101: 150, 999: 1000, 1000: 1000, 1001: 1500, 1499: 1500, 70_000: 70_000, 70_001: 100_000},
}


class TimelinesContract(TwoDaysGroup):
    """`report("timeline")`, `report("durations")`, `report("distribution")`."""

    def test_the_timeline_of_a_living_session_ends_with_the_status_it_has(self, after_two_days: Manager) -> None:
        report = after_two_days.report("timeline", session_id="bee")

        assert (report.name, report.columns) == (
            "timeline",
            ["status", "attempt", "entered_at", "left_at", "duration_ms"],
        )
        assert report.rows == [
            ("pending", 0, instant("01 23:59:59.999"), instant("02 00:30:00"), 1_800_001),
            ("processing", 0, instant("02 00:30:00"), instant("02 00:31:00"), 60_000),
            ("downloading", 0, instant("02 00:31:00"), instant("02 00:32:00"), 60_000),
            ("completed", 0, instant("02 00:32:00"), None, None),
        ]

    def test_the_timeline_of_a_session_that_is_gone_ends_with_its_departure(self, after_two_days: Manager) -> None:
        assert after_two_days.report("timeline", session_id="owl").rows == [
            ("pending", 0, instant("01 22:00:10"), instant("01 22:59:59.999"), 3_589_999),
            ("processing", 0, instant("01 22:59:59.999"), instant("01 23:30:00"), 1_800_001),
            ("failed", 0, instant("01 23:30:00"), instant("01 23:40:00"), 600_000),
            ("pending", 0, instant("01 23:40:00"), instant("02 00:00:00"), 1_200_000),
            ("processing", 1, instant("02 00:00:00"), instant("02 00:01:01"), 61_000),
            ("pending", 1, instant("02 00:01:01"), instant("02 00:10:00"), 539_000),
            ("failed", 1, instant("02 00:10:00"), instant("02 02:00:00"), 6_600_000),
        ]
        assert after_two_days.report("timeline", session_id="ant").rows == [
            ("pending", 0, instant("02 00:45:00"), None, None)
        ]

    def test_the_timeline_of_an_id_that_is_used_again_is_that_of_its_newest_life(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        lives = []
        for status in ("completed", "failed"):
            clock.advance(minutes=1)
            lives.append(clock.now)
            manager.create_session(a_request(), session_id="mine")
            clock.advance(seconds=1)
            manager.update_session_status("mine", status)
            clock.advance(seconds=1)
            manager.remove_session("mine")
        second = timedelta(seconds=1)
        _, begun = lives
        assert manager.report("timeline", session_id="mine").rows == [
            ("pending", 0, begun, begun + second, 1000),
            ("failed", 0, begun + second, begun + 2 * second, 1000),
        ]
        clock.advance(seconds=1)

        manager.create_session(a_request(), session_id="mine")

        assert manager.report("timeline", session_id="mine").rows == [("pending", 0, clock.now, None, None)]

    def test_scenes_and_repeated_statuses_are_no_turns_of_a_timeline(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id, created = manager.create_session(a_request()), clock.now
        for _ in range(2):
            clock.advance(seconds=1)
            manager.update_session_status(session_id, "processing")
            manager.add_scene_to_session(session_id, a_scene(1))

        assert manager.report("timeline", session_id=session_id).rows == [
            ("pending", 0, created, created + timedelta(seconds=1), 1000),
            ("processing", 0, created + timedelta(seconds=1), None, None),
        ]

    def test_a_duration_is_never_negative_when_the_clock_was_set_back(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id, created = manager.create_session(a_request(media_type="cartoon")), clock.now
        clock.advance(minutes=-10)
        manager.update_session_status(session_id, "processing")
        manager.add_scene_to_session(session_id, a_scene(1))
        clock.advance(minutes=-10)
        manager.update_session_status(session_id, "completed")

        assert manager.report("timeline", session_id=session_id).rows == [
            ("pending", 0, created, created - timedelta(minutes=10), 0),
            ("processing", 0, created - timedelta(minutes=10), clock.now, 0),
            ("completed", 0, clock.now, None, None),
        ]
        assert [row[3:7] for row in manager.report("status_durations").rows] == [(1, 0, 0.0, 0), (1, 0, 0.0, 0)]
        assert [row[2:] for row in manager.report("scenes").rows] == [(1, 1 / 60, 0.0, 0, 0)]
        assert [row[10:12] for row in manager.report("sessions").rows] == [(0, 0)]

    def test_a_timeline_goes_as_far_back_as_events_are_kept(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(max_sessions=None, event_retention_days=1, session_max_age_hours=1000)
        for session_id in ("living", "gone", "quiet"):
            manager.create_session(a_request(), session_id=session_id)
        clock.advance(minutes=1)
        manager.update_session_status("living", "processing")
        manager.remove_session("gone")
        clock.advance(days=2)
        manager.create_session(a_request(), session_id="newest")
        clock.advance(minutes=1)
        manager.update_session_status("living", "completed")

        assert wait_for_cleanup(manager, PATIENCE_SECONDS)

        assert manager.report("timeline", session_id="living").rows == [("completed", 0, clock.now, None, None)]
        for session_id in ("gone", "quiet"):
            assert manager.report("timeline", session_id=session_id).rows == []

    def test_a_session_that_never_was_has_no_timeline(self, manager: Manager) -> None:
        with pytest.raises(SessionNotFoundError, match="nobody") as caught:
            manager.report("timeline", session_id="nobody")

        assert caught.value.session_id == "nobody"

    def test_percentiles_are_the_nearest_rank_of_what_was_measured(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(max_sessions=None, durability="normal")

        def percentiles(count: int) -> tuple[int, ...]:
            """Of 10, 20, 30... so many."""
            with manager.transaction():
                manager.force_cleanup_all()
                for number in range(count):
                    manager.create_session(a_request(), session_id=f"{count}-{number}")
            since = clock.now
            for number in range(count):
                clock.advance(milliseconds=10)
                manager.update_session_status(f"{count}-{number}", "processing")
            ((media_type, measure, *figures),) = manager.report("durations", since=since).rows
            assert (media_type, measure) == ("cinematic", "queue")
            clock.advance(seconds=1)
            return tuple(figures)

        # count, min, p50, p95, max
        assert percentiles(1) == (1, 10, 10, 10, 10)
        assert percentiles(2) == (2, 10, 10, 20, 20)
        assert percentiles(3) == (3, 10, 20, 30, 30)
        assert percentiles(19) == (19, 10, 100, 190, 190)
        assert percentiles(20) == (20, 10, 100, 190, 200)
        assert percentiles(21) == (21, 10, 110, 200, 210)

    def test_a_class_of_a_distribution_ends_with_the_largest_that_is_in_it(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(max_sessions=None, durability="normal")
        with manager.transaction():
            for milliseconds in CLASSES:
                manager.create_session(a_request(), session_id=f"{milliseconds}")
        begun = clock.now
        for milliseconds in sorted(CLASSES):
            clock.now = begun + timedelta(milliseconds=milliseconds)
            manager.update_session_status(f"{milliseconds}", "processing")

        rows = manager.report("distribution").rows

        ends = sorted(CLASSES.values())
        assert rows == [("cinematic", "queue", end, ends.count(end)) for end in sorted(set(ends))]
