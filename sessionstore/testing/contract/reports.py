"""`report`: each view over two days whose every number is known."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sessionstore.clock import utc_now
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.days import TwoDaysGroup, instant
from sessionstore.testing.contract.group import Manager, a_request
from sessionstore.testing.contract.tracking import begin

FIRST_DAY, SECOND_DAY = date(2026, 3, 1), date(2026, 3, 2)
COUNTS = ("created", "started", "completed", "failed", "cancelled", "retried", "recovered", "scene")


def flows(*counts: int, failed_ratio: float | None, queue: float | None, generation: float | None) -> tuple[Any, ...]:
    """The columns that the hourly and the daily report share."""
    assert len(counts) == len(COUNTS)
    return (*counts, failed_ratio, queue, generation)


class ReportsContract(TwoDaysGroup):
    """Golden reports. `days.py` says what happened."""

    def test_every_session_is_reported_living_or_gone(self, after_two_days: Manager) -> None:
        report = after_two_days.report("sessions")

        assert report.columns == [
            *("session_id", "status", "media_type", "wanted_scene_count", "scene_count", "attempt_count"),
            *("error_message", "created_at", "started_at", "finished_at", "queue_ms", "generation_ms"),
            *("gone_reason", "gone_at"),
        ]
        born = {row[0]: row[7] for row in report.rows}
        assert born == {
            "fox": instant("01 22:00:00"),
            "owl": instant("01 22:00:10"),
            "elk": instant("01 23:50:00"),
            "bee": instant("01 23:59:59.999"),
            "yak": instant("02 00:40:00"),
            "ant": instant("02 00:45:00"),
            "gnu": instant("02 02:10:00"),
        }
        assert [row[0] for row in report.rows] == list(born), "the oldest first"
        assert [row[:7] for row in report.rows] == [
            ("fox", "completed", "cinematic", 2, 2, 1, None),
            ("owl", "failed", "cartoon", 1, 1, 1, "no paint"),
            ("elk", "cancelled", "realistic", 3, 2, 0, None),
            ("bee", "completed", None, None, 0, 0, None),
            ("yak", "failed", "cinematic", 1, 0, 1, "no power"),
            ("ant", "pending", "cinematic", 5, 0, 0, None),
            ("gnu", "failed", "cartoon", 1, 0, 0, None),
        ]
        assert [row[8:] for row in report.rows] == [
            (instant("01 22:00:20"), instant("01 22:01:31"), 20_000, 71_000, "removed", instant("02 01:00:00")),
            (instant("01 22:59:59.999"), instant("02 00:10"), 3_589_999, 4_200_001, "expired", instant("02 02:00")),
            (None, instant("02 00:20:00"), None, None, "evicted", instant("02 02:20:00")),
            (instant("02 00:30:00"), instant("02 00:32:00"), 1_800_001, 120_000, None, None),
            (instant("02 00:40:05"), instant("02 00:40:10"), 5_000, 5_000, "expired", instant("02 02:00:00")),
            (None, None, None, None, None, None),
            (None, instant("02 02:30:00"), None, None, "cleared", instant("02 03:00:00")),
        ]

    def test_each_hour_reports_what_happened_in_it_by_media_type(self, after_two_days: Manager) -> None:
        report = after_two_days.report("hourly")

        assert report.columns == [
            *("hour_at", "media_type", *(f"{each}_count" for each in COUNTS)),
            *("failed_ratio", "avg_queue_ms", "avg_generation_ms"),
        ]
        assert report.rows == [
            (
                *(instant("01 22:00"), "cartoon"),
                *flows(1, 1, 0, 0, 0, 0, 0, 0, failed_ratio=None, queue=3_589_999.0, generation=None),
            ),
            (
                *(instant("01 22:00"), "cinematic"),
                *flows(1, 1, 1, 0, 0, 0, 0, 2, failed_ratio=0.0, queue=20_000.0, generation=71_000.0),
            ),
            (
                *(instant("01 23:00"), None),
                *flows(1, 0, 0, 0, 0, 0, 0, 0, failed_ratio=None, queue=None, generation=None),
            ),
            (
                *(instant("01 23:00"), "cartoon"),
                *flows(0, 0, 0, 1, 0, 1, 0, 2, failed_ratio=1.0, queue=None, generation=1_800_001.0),
            ),
            (
                *(instant("01 23:00"), "realistic"),
                *flows(1, 0, 0, 0, 0, 0, 0, 0, failed_ratio=None, queue=None, generation=None),
            ),
            (
                *(instant("02 00:00"), None),
                *flows(0, 1, 1, 0, 0, 0, 0, 0, failed_ratio=0.0, queue=1_800_001.0, generation=120_000.0),
            ),
            (
                *(instant("02 00:00"), "cartoon"),
                *flows(0, 0, 0, 1, 0, 0, 1, 0, failed_ratio=1.0, queue=None, generation=4_200_001.0),
            ),
            (
                *(instant("02 00:00"), "cinematic"),
                *flows(2, 1, 0, 1, 0, 0, 0, 0, failed_ratio=1.0, queue=5_000.0, generation=5_000.0),
            ),
            (
                *(instant("02 00:00"), "realistic"),
                *flows(0, 0, 0, 0, 1, 0, 0, 2, failed_ratio=None, queue=None, generation=None),
            ),
            (
                *(instant("02 02:00"), "cartoon"),
                *flows(1, 0, 0, 1, 0, 0, 0, 0, failed_ratio=1.0, queue=None, generation=None),
            ),
        ]

    def test_each_day_reports_what_happened_in_it_by_media_type(self, after_two_days: Manager) -> None:
        report = after_two_days.report("daily")

        assert report.columns == ["day", *after_two_days.report("hourly").columns[1:]]
        assert report.rows == [
            (FIRST_DAY, None, *flows(1, 0, 0, 0, 0, 0, 0, 0, failed_ratio=None, queue=None, generation=None)),
            (
                *(FIRST_DAY, "cartoon"),
                *flows(1, 1, 0, 1, 0, 1, 0, 2, failed_ratio=1.0, queue=3_589_999.0, generation=1_800_001.0),
            ),
            (
                *(FIRST_DAY, "cinematic"),
                *flows(1, 1, 1, 0, 0, 0, 0, 2, failed_ratio=0.0, queue=20_000.0, generation=71_000.0),
            ),
            (FIRST_DAY, "realistic", *flows(1, 0, 0, 0, 0, 0, 0, 0, failed_ratio=None, queue=None, generation=None)),
            (
                *(SECOND_DAY, None),
                *flows(0, 1, 1, 0, 0, 0, 0, 0, failed_ratio=0.0, queue=1_800_001.0, generation=120_000.0),
            ),
            (
                *(SECOND_DAY, "cartoon"),
                *flows(1, 0, 0, 2, 0, 0, 1, 0, failed_ratio=1.0, queue=None, generation=4_200_001.0),
            ),
            (
                *(SECOND_DAY, "cinematic"),
                *flows(2, 1, 0, 1, 0, 0, 0, 0, failed_ratio=1.0, queue=5_000.0, generation=5_000.0),
            ),
            (SECOND_DAY, "realistic", *flows(0, 0, 0, 0, 1, 0, 0, 2, failed_ratio=None, queue=None, generation=None)),
        ]

    def test_failures_are_reported_by_day_media_type_and_message(self, after_two_days: Manager) -> None:
        report = after_two_days.report("failures")

        assert report.columns == [
            *("day", "media_type", "error_message", "failed_count", "scene_count", "attempt_count"),
            *("first_failed_at", "last_failed_at"),
        ]
        assert report.rows == [
            (SECOND_DAY, "cartoon", None, 1, 0, 0, instant("02 02:30:00"), instant("02 02:30:00")),
            (SECOND_DAY, "cartoon", "no paint", 1, 1, 1, instant("02 00:10:00"), instant("02 00:10:00")),
            (SECOND_DAY, "cinematic", "no power", 1, 0, 1, instant("02 00:40:10"), instant("02 00:40:10")),
        ]

    def test_failures_with_the_same_message_are_one_row(self, manager: Manager, clock: ManualClock) -> None:
        failed_at = []
        for message in ("no paint", "no paint", "No paint", "no paint "):
            session_id = manager.create_session(a_request(num_scenes=1))
            clock.advance(milliseconds=1)
            manager.update_session_status(session_id, "failed", message)
            failed_at.append(clock.now)

        rows = manager.report("failures").rows

        assert {row[2]: row[3] for row in rows} == {"no paint": 2, "No paint": 1, "no paint ": 1}
        assert rows[-1][2:] == ("no paint", 2, 0, 0, failed_at[0], failed_at[1]), "the most frequent one is the last"

    def test_scenes_are_reported_by_the_hour_with_how_long_they_took(self, after_two_days: Manager) -> None:
        report = after_two_days.report("scenes")

        assert report.columns == [
            *("hour_at", "media_type", "scene_count", "scenes_per_minute", "avg_ms", "min_ms", "max_ms"),
        ]
        assert report.rows == [
            (instant("01 22:00"), "cinematic", 2, 2 / 60, 35_250.0, 30_000, 40_500),
            (instant("01 23:00"), "cartoon", 2, 2 / 60, 0.5, 0, 1),
            (instant("02 00:00"), "realistic", 2, 2 / 60, None, None, None),
        ]

    def test_a_status_is_reported_in_the_hour_in_which_it_was_left(self, after_two_days: Manager) -> None:
        report = after_two_days.report("status-durations")

        assert (report.name, report.columns) == (
            "status_durations",
            ["hour_at", "media_type", "status", "left_count", "total_ms", "avg_ms", "min_ms", "max_ms"],
        )
        assert report.rows == [
            (instant("01 22:00"), "cartoon", "pending", 1, 3_589_999, 3_589_999.0, 3_589_999, 3_589_999),
            (instant("01 22:00"), "cinematic", "pending", 1, 20_000, 20_000.0, 20_000, 20_000),
            (instant("01 22:00"), "cinematic", "processing", 1, 71_000, 71_000.0, 71_000, 71_000),
            (instant("01 23:00"), "cartoon", "failed", 1, 600_000, 600_000.0, 600_000, 600_000),
            (instant("01 23:00"), "cartoon", "processing", 1, 1_800_001, 1_800_001.0, 1_800_001, 1_800_001),
            (instant("02 00:00"), None, "downloading", 1, 60_000, 60_000.0, 60_000, 60_000),
            (instant("02 00:00"), None, "pending", 1, 1_800_001, 1_800_001.0, 1_800_001, 1_800_001),
            (instant("02 00:00"), None, "processing", 1, 60_000, 60_000.0, 60_000, 60_000),
            # Twice: until its worker came, and until it failed after that one had died.
            (instant("02 00:00"), "cartoon", "pending", 2, 1_739_000, 869_500.0, 539_000, 1_200_000),
            (instant("02 00:00"), "cartoon", "processing", 1, 61_000, 61_000.0, 61_000, 61_000),
            (instant("02 00:00"), "cinematic", "pending", 1, 5_000, 5_000.0, 5_000, 5_000),
            (instant("02 00:00"), "cinematic", "processing", 1, 5_000, 5_000.0, 5_000, 5_000),
            (instant("02 00:00"), "realistic", "pending", 1, 1_800_000, 1_800_000.0, 1_800_000, 1_800_000),
            (instant("02 02:00"), "cartoon", "pending", 1, 1_200_000, 1_200_000.0, 1_200_000, 1_200_000),
        ]

    def test_departures_are_reported_with_their_reason_and_last_status(self, after_two_days: Manager) -> None:
        report = after_two_days.report("departures")

        assert report.columns == ["hour_at", "media_type", "reason", "status", "session_count"]
        assert report.rows == [
            (instant("02 01:00"), "cinematic", "removed", "completed", 1),
            (instant("02 02:00"), "cartoon", "expired", "failed", 1),
            (instant("02 02:00"), "cinematic", "expired", "failed", 1),
            (instant("02 02:00"), "realistic", "evicted", "cancelled", 1),
            (instant("02 03:00"), "cartoon", "cleared", "failed", 1),
        ]

    def test_costs_are_reported_by_the_day_of_the_call_provider_and_currency(self, after_two_days: Manager) -> None:
        report = after_two_days.report("costs")

        assert report.columns == [
            *("day", "provider", "currency", "call_count", "stored_count", "failed_count", "cost_micros"),
        ]
        assert report.rows == [
            (FIRST_DAY, "foley", None, 1, 0, 0, 0),
            (FIRST_DAY, "studio", "EUR", 1, 1, 0, 25_000),
            (FIRST_DAY, "studio", "USD", 1, 1, 0, 40_000),
            (SECOND_DAY, "studio", "USD", 1, 0, 1, 1_500_000),
        ]

    def test_durations_and_their_distribution_are_of_the_sessions_that_started(self, after_two_days: Manager) -> None:
        report = after_two_days.report("durations")

        assert report.columns == ["media_type", "measure", "session_count", "min_ms", "p50_ms", "p95_ms", "max_ms"]
        assert report.rows == [
            (None, "queue", 1, 1_800_001, 1_800_001, 1_800_001, 1_800_001),
            (None, "generation", 1, 120_000, 120_000, 120_000, 120_000),
            ("cartoon", "queue", 1, 3_589_999, 3_589_999, 3_589_999, 3_589_999),
            ("cartoon", "generation", 1, 4_200_001, 4_200_001, 4_200_001, 4_200_001),
            ("cinematic", "queue", 2, 5_000, 5_000, 20_000, 20_000),
            ("cinematic", "generation", 2, 5_000, 5_000, 71_000, 71_000),
        ]

        report = after_two_days.report("distribution")

        assert report.columns == ["media_type", "measure", "up_to_ms", "session_count"]
        assert report.rows == [
            (None, "queue", 2_000_000, 1),
            (None, "generation", 150_000, 1),
            ("cartoon", "queue", 5_000_000, 1),
            ("cartoon", "generation", 5_000_000, 1),
            ("cinematic", "queue", 5_000, 1),
            ("cinematic", "queue", 20_000, 1),
            ("cinematic", "generation", 5_000, 1),
            ("cinematic", "generation", 100_000, 1),
        ]

    def test_an_empty_store_reports_no_rows(self, manager: Manager) -> None:
        for name in ("sessions", "hourly", "daily", "failures", "scenes", "status_durations", "departures"):
            assert manager.report(name).rows == []
        for name in ("stuck", "costs", "durations", "distribution"):
            assert manager.report(name).rows == []

    def test_a_processing_session_without_a_write_for_30_minutes_is_reported_as_stuck(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        # The view asks the database for the time, so the manager's clock is put where that is.
        now = utc_now()
        clock.now = now - timedelta(minutes=31)
        run = begin(manager, "gpu-7", media_type="cartoon")
        run.update_progress(2, 5, "painting")
        quiet_since = clock.now
        manager.create_session(a_request())
        for minutes, status in ((31, "downloading"), (29, "processing")):
            clock.now = now - timedelta(minutes=minutes)
            manager.update_session_status(manager.create_session(a_request()), status)

        report = manager.report("stuck")

        assert report.columns == [
            *("session_id", "status", "media_type", "progress_step", "progress_total", "attempt_count", "worker"),
            *("lease_expires_at", "started_at", "updated_at", "quiet_ms"),
        ]
        ((*row, lease_expires_at, started_at, updated_at, quiet_ms),) = report.rows
        assert row == [run.session_id, "processing", "cartoon", 2, 5, 1, "gpu-7"]
        assert (started_at, updated_at) == (quiet_since, quiet_since)
        assert lease_expires_at > quiet_since
        assert 31 * 60_000 <= quiet_ms < 32 * 60_000

    def test_a_stuck_session_without_a_worker_is_reported_too(self, manager: Manager, clock: ManualClock) -> None:
        clock.now = datetime(2020, 1, 1, tzinfo=UTC)
        session_id = manager.create_session(a_request())
        manager.update_session_status(session_id, "processing")

        ((*row, quiet_ms),) = manager.report("stuck").rows

        assert row == [session_id, "processing", "cinematic", None, None, 0, None, None, clock.now, clock.now]
        assert quiet_ms > 5 * 365 * 24 * 3_600_000
