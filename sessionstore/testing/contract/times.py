"""The clock: everything that asks for the time asks it, and what it says is kept in UTC to the millisecond."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

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
)


class TimesContract(ContractGroup):
    """`clock` is the only source of time."""

    @pytest.mark.parametrize("year", [1971, 2100])
    def test_no_time_of_a_session_comes_from_anywhere_but_the_clock(self, open_manager: OpenManager, year: int) -> None:
        clock = ManualClock(datetime(year, 3, 1, tzinfo=UTC))
        manager = open_manager(clock=clock)
        session_id = manager.create_session(a_request())
        created = clock.now
        clock.advance(minutes=1)
        manager.update_session_status(session_id, "processing")
        clock.advance(minutes=1)
        manager.update_session_status(session_id, "completed")
        clock.advance(minutes=1)

        session = saved(manager, session_id)

        minute = timedelta(minutes=1)
        times = [session.created_at, session.started_at, session.finished_at, session.updated_at, session.last_accessed]
        assert times == [created + number * minute for number in (0, 1, 2, 2, 3)]
        assert UUID(session_id).int >> 80 == int(created.timestamp() * 1000)
        assert manager.get_performance_stats()["oldest_session_hours"] == 0.05
        assert manager.cleanup_expired_sessions() == 0
        clock.advance(hours=6)
        assert manager.cleanup_expired_sessions() == 1

    def test_a_clock_of_another_time_zone_is_kept_in_utc(self, open_manager: OpenManager) -> None:
        clock = ManualClock(datetime(2026, 7, 1, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))))
        manager = open_manager(clock=clock)

        session = saved(manager, manager.create_session(a_request()))

        assert session.created_at == clock.now
        assert session.created_at.tzinfo is UTC
        assert session.created_at.isoformat() == "2026-06-30T19:45:00+00:00"

    def test_times_are_kept_to_the_millisecond(self, manager: Manager, clock: ManualClock) -> None:
        clock.advance(microseconds=123_999)

        session = saved(manager, manager.create_session(a_request()))

        assert session.created_at == session.last_accessed == clock.now - timedelta(microseconds=999)

    def test_a_naive_clock_is_refused(self, open_manager: OpenManager) -> None:
        with pytest.raises(ValueError, match="clock"):
            open_manager(clock=lambda: datetime(2026, 1, 1))  # noqa: DTZ001 - the point

    def test_a_clock_that_turns_naive_changes_nothing(self, open_manager: OpenManager, clock: ManualClock) -> None:
        manager = open_manager()
        session_id = manager.create_session(a_request())
        right = clock.now
        clock.now = right.replace(tzinfo=None)

        with pytest.raises(ValueError, match="clock"):
            manager.update_session_status(session_id, "failed")
        with pytest.raises(ValueError, match="clock"):
            manager.create_session(a_request())

        clock.now = right
        assert saved(manager, session_id).status is GenerationStatus.PENDING
        assert manager.get_session_count() == 1

    def test_a_clock_that_was_set_back_harms_nobody(self, manager: Manager, clock: ManualClock) -> None:
        session_id = create_in_status(manager, "processing")
        clock.advance(days=-10)

        manager.update_session_status(session_id, "completed")

        assert manager.cleanup_expired_sessions() == 0
        manager.remove_session(session_id)
        tombstone = manager.find_tombstone(session_id)
        assert tombstone is not None
        assert tombstone.generation_ms == 0

    def test_one_change_has_one_time(self, open_manager: OpenManager) -> None:
        ticking = ManualClock()

        def clock() -> datetime:
            ticking.advance(milliseconds=1)
            return ticking.now

        manager = open_manager(clock=clock)
        session_id = manager.create_session(a_request())
        manager.atomic_session_update(session_id, {"status": "completed", "metadata": {"n": 1}})

        session = saved(manager, session_id)

        assert session.finished_at == session.updated_at
