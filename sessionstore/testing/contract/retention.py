"""Expiry and the four cleanups: what goes, what stays, and from when the time counts."""

import math
import threading
from datetime import datetime

import pytest

from sessionstore.models import GenerationStatus
from sessionstore.testing import ManualClock, wait_for_cleanup
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    create_in_status,
    listen,
    saved,
)

UNFINISHED = ["pending", "processing", "downloading"]
# Hours from the finish to the expiry, by the status of the finish.
RETENTION_HOURS = [("failed", 1.0), ("completed", 6.0), ("cancelled", 6.0)]


class RetentionContract(ContractGroup):
    """`cleanup_expired_sessions`, `cleanup_failed_sessions`, `cleanup_completed_sessions`, `force_cleanup_all`."""

    @pytest.mark.parametrize("status", UNFINISHED)
    def test_an_unfinished_session_expires_past_24_hours(
        self, manager: Manager, clock: ManualClock, status: str
    ) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_status(session_id, status)
        clock.advance(hours=24)
        assert manager.cleanup_expired_sessions() == 0
        clock.advance(seconds=1)

        assert manager.cleanup_expired_sessions() == 1

        assert manager.get_session(session_id) is None

    @pytest.mark.parametrize(("status", "hours"), RETENTION_HOURS)
    def test_a_finished_session_expires_so_long_after_its_finish(
        self, manager: Manager, clock: ManualClock, status: str, hours: float
    ) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(hours=23)
        manager.update_session_status(session_id, status)
        clock.advance(hours=hours)
        assert manager.cleanup_expired_sessions() == 0
        clock.advance(seconds=1)

        assert manager.cleanup_expired_sessions() == 1

    def test_a_long_run_is_not_expired_at_the_moment_it_finishes(self, manager: Manager, clock: ManualClock) -> None:
        session_id = create_in_status(manager, "processing")
        clock.advance(hours=100)

        manager.update_session_status(session_id, "completed")

        assert manager.cleanup_expired_sessions() == 0
        assert saved(manager, session_id).status is GenerationStatus.COMPLETED

    def test_progress_does_not_put_the_expiry_off(self, manager: Manager, clock: ManualClock) -> None:
        session_id = create_in_status(manager, "processing")
        clock.advance(hours=25)
        manager.update_session_progress(session_id, 1, 2, "half")

        assert manager.cleanup_expired_sessions() == 1

    def test_the_maximum_age_can_be_given_and_counts_for_unfinished_sessions(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        manager.create_session(a_request())
        completed = create_in_status(manager, "completed")
        clock.advance(hours=3)

        assert manager.cleanup_expired_sessions(max_age_hours=2) == 1

        assert [info["session_id"] for info in manager.get_all_sessions_info()] == [completed]

    @pytest.mark.parametrize(
        ("setting", "status"),
        [
            ("session_max_age_hours", "processing"),
            ("failed_retention_hours", "failed"),
            ("completed_retention_hours", "completed"),
            ("cancelled_retention_hours", "cancelled"),
        ],
    )
    def test_each_of_the_four_limits_is_a_setting(
        self, open_manager: OpenManager, clock: ManualClock, setting: str, status: str
    ) -> None:
        manager = open_manager(**{setting: 0.5})
        create_in_status(manager, status)
        clock.advance(minutes=29)
        assert manager.cleanup_expired_sessions() == 0
        clock.advance(minutes=2)

        assert manager.cleanup_expired_sessions() == 1

    @pytest.mark.parametrize("max_age_hours", [-1, math.nan, math.inf, "6", True])
    def test_a_maximum_age_that_is_no_number_of_hours_is_refused(self, manager: Manager, max_age_hours: float) -> None:
        create_in_status(manager, "completed")

        with pytest.raises(ValueError, match="max_age_hours"):
            manager.cleanup_expired_sessions(max_age_hours)
        with pytest.raises(ValueError, match="max_age_hours"):
            manager.cleanup_completed_sessions(max_age_hours)

        assert manager.get_session_count() == 1

    def test_expired_sessions_can_be_counted_before_they_go(self, manager: Manager, clock: ManualClock) -> None:
        for status in ("processing", "completed", "failed"):
            create_in_status(manager, status)
        clock.advance(hours=2)

        assert (manager.count_expired_sessions(), manager.count_expired_sessions(max_age_hours=1)) == (1, 2)

        assert manager.get_session_count() == 3

    def test_failed_sessions_go_however_young(self, manager: Manager) -> None:
        ids = {status: create_in_status(manager, status) for status in list(GenerationStatus)[1:]}
        create_in_status(manager, "failed")

        assert manager.cleanup_failed_sessions() == 2

        left = {info["session_id"] for info in manager.get_all_sessions_info()}
        assert left == set(ids.values()) - {ids[GenerationStatus.FAILED]}

    def test_completed_sessions_go_six_hours_after_their_completion(self, manager: Manager, clock: ManualClock) -> None:
        old = create_in_status(manager, "processing")
        for status in ("completed", "cancelled", "failed"):
            create_in_status(manager, status)
        clock.advance(hours=6, seconds=1)
        manager.update_session_status(old, "completed")

        assert manager.cleanup_completed_sessions() == 1

        assert saved(manager, old).status is GenerationStatus.COMPLETED
        assert manager.get_session_count() == 3

    def test_the_age_of_completed_sessions_can_be_given(self, manager: Manager, clock: ManualClock) -> None:
        create_in_status(manager, "completed")
        clock.advance(minutes=31)

        assert manager.cleanup_completed_sessions(1) == 0
        assert manager.cleanup_completed_sessions(0.5) == 1

    def test_a_forced_cleanup_removes_every_session(self, manager: Manager) -> None:
        for status in GenerationStatus:
            create_in_status(manager, status)

        assert manager.force_cleanup_all() == 6

        assert manager.get_session_count() == 0
        assert manager.force_cleanup_all() == 0

    def test_a_cleanup_of_more_than_one_batch_is_complete(self, open_manager: OpenManager, clock: ManualClock) -> None:
        manager = open_manager(cleanup_batch_sessions=2)
        for _ in range(7):
            manager.create_session(a_request())
        clock.advance(hours=25)

        assert manager.cleanup_expired_sessions() == 7

        assert manager.get_session_count() == 0

    # By itself

    def test_expired_sessions_go_by_themselves(self, open_manager: OpenManager, clock: ManualClock) -> None:
        manager = open_manager(cleanup_interval=0.02)
        gone = threading.Event()
        manager.register_session_callback("expired", lambda *_: gone.set())
        session_id = manager.create_session(a_request())

        clock.advance(hours=25)

        assert gone.wait(PATIENCE_SECONDS)
        assert manager.get_session(session_id) is None

    def test_nothing_goes_by_itself_without_an_interval(self, open_manager: OpenManager) -> None:
        manager = open_manager(cleanup_interval=None)

        assert manager.get_health_status()["cleanup_active"] == "no"

    def test_waiting_for_a_cleanup_sees_its_result(self, manager: Manager, clock: ManualClock) -> None:
        heard = listen(manager, "expired")
        session_id = manager.create_session(a_request())
        clock.advance(hours=25)

        assert wait_for_cleanup(manager, max_wait=PATIENCE_SECONDS) is True

        assert [call.session_id for call in heard] == [session_id]
        assert heard[0].thread != threading.get_ident()

    def test_a_crash_of_one_pass_does_not_end_the_cleanup(
        self, open_manager: OpenManager, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        test_thread, crashes = threading.get_ident(), [True]

        def clock_that_fails_once() -> datetime:
            if threading.get_ident() != test_thread and crashes:
                crashes.pop()
                raise LookupError("no time")
            return clock.now

        manager = open_manager(clock=clock_that_fails_once)
        manager.create_session(a_request())
        clock.advance(hours=25)
        assert wait_for_cleanup(manager, max_wait=PATIENCE_SECONDS)
        assert (manager.get_session_count(), crashes) == (1, [])

        assert wait_for_cleanup(manager, max_wait=PATIENCE_SECONDS)

        assert manager.get_session_count() == 0
        assert any(record.exc_info and record.exc_info[0] is LookupError for record in caplog.records)
