"""What the reports count, and what they do not: what was undone, repeated or refused, or changed nothing."""

from typing import Any

import pytest

from sessionstore.models import GenerationStatus
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import ContractGroup, Manager, OpenManager, Session, a_request, a_scene

SUMMED = ("created", "started", "completed", "failed", "cancelled", "retried", "recovered", "scene")


def counted(manager: Manager, media_type: str | None = None) -> dict[str, int]:
    """What the hourly report counts in all, but zeros."""
    report = manager.report("hourly", media_type=media_type)
    sums = {name: sum(row[report.columns.index(f"{name}_count")] for row in report.rows) for name in SUMMED}
    return {name: count for name, count in sums.items() if count}


def everything_reported(manager: Manager) -> dict[str, list[Any]]:
    names = ("sessions", "hourly", "daily", "failures", "scenes", "status_durations", "departures", "costs")
    return {name: manager.report(name).rows for name in names}


class CountingContract(ContractGroup):
    """Each thing that happened is counted once, at the moment and for the media type that it happened to."""

    def test_a_creation_that_is_repeated_counts_once(self, manager: Manager) -> None:
        for _ in range(3):
            manager.create_session(a_request(), idempotency_key="order-1")
            manager.create_session(a_request(), session_id="mine")

        assert counted(manager) == {"created": 2}

    def test_what_a_transaction_undoes_is_not_counted(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        before = everything_reported(manager)

        def work() -> None:
            with manager.transaction():
                manager.create_session(a_request())
                manager.update_session_status(session_id, "processing")
                manager.add_scene_to_session(session_id, a_scene(1))
                manager.update_session_status(session_id, "failed", "no paint")
                manager.remove_session(session_id)
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert everything_reported(manager) == before

    def test_what_an_inner_transaction_undoes_is_not_counted_and_the_rest_is(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        def fail() -> None:
            with manager.transaction():
                manager.add_scene_to_session(session_id, a_scene(2))
                manager.update_session_status(session_id, "completed")
                raise LookupError

        with manager.transaction():
            manager.add_scene_to_session(session_id, a_scene(1))
            with pytest.raises(LookupError):
                fail()
            manager.update_session_status(session_id, "cancelled")

        assert counted(manager) == {"created": 1, "cancelled": 1, "scene": 1}
        assert manager.report("sessions").rows[0][4] == 1

    def test_of_a_bulk_update_those_that_succeed_are_counted(self, manager: Manager) -> None:
        ids = [manager.create_session(a_request()) for _ in range(3)]

        def operate(session: Session) -> None:
            manager.add_scene_to_session(session.session_id, a_scene(1))
            session.status = GenerationStatus.COMPLETED
            if session.session_id == ids[1]:
                raise LookupError

        assert manager.bulk_update_sessions(ids, operate) == 2

        assert counted(manager) == {"created": 3, "completed": 2, "scene": 2}

    def test_what_changes_neither_status_nor_scenes_is_in_no_report(self, manager: Manager, clock: ManualClock) -> None:
        name = manager.create_session(a_request())
        before = everything_reported(manager)
        clock.advance(hours=1)

        assert not manager.update_session_status(name, "failed", expected_status="processing")
        assert manager.update_session_status(name, "pending", expected_status="pending")
        assert manager.update_session_progress(name, 1, 2, "half")
        assert manager.atomic_session_update(name, {"metadata": {"user": "u-17"}})
        assert manager.get_session(name)
        assert not manager.retry_session(name)
        assert not manager.update_session_status("nobody", "failed")
        assert not manager.add_scene_to_session("nobody", a_scene(1))
        assert not manager.set_session_scenes("nobody", [a_scene(1)])
        assert not manager.remove_session("nobody")

        assert everything_reported(manager) == before

    def test_the_same_status_set_again_does_not_begin_it_again(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        for seconds in (1, 2, 3):
            manager.update_session_status(session_id, "processing")
            clock.advance(seconds=seconds)
        for seconds in (4, 5):
            manager.update_session_status(session_id, "completed")
            clock.advance(seconds=seconds)

        assert counted(manager) == {"created": 1, "started": 1, "completed": 1}
        assert [row[2:5] for row in manager.report("status_durations").rows] == [
            ("pending", 1, 0),
            ("processing", 1, 6000),
        ]
        assert manager.report("sessions").rows[0][10:12] == (0, 6000)

    def test_an_event_counts_for_the_media_type_that_the_session_has_at_that_moment(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id = manager.create_session(a_request(media_type="cartoon"))
        manager.update_session_status(session_id, "processing")
        clock.advance(seconds=1)
        manager.atomic_session_update(session_id, {"request_data": a_request(media_type="realistic")})
        manager.add_scene_to_session(session_id, a_scene(1))
        clock.advance(seconds=1)
        manager.update_session_status(session_id, "completed")

        assert counted(manager, "cartoon") == {"created": 1, "started": 1}
        assert counted(manager, "realistic") == {"completed": 1, "scene": 1}
        assert [row[:3] for row in manager.report("sessions").rows] == [(session_id, "completed", "realistic")]
        assert [row[1:5] for row in manager.report("status_durations").rows] == [
            ("cartoon", "pending", 1, 0),
            ("realistic", "processing", 1, 2000),
        ]

    def test_a_session_that_fails_and_is_put_back_starts_once_and_fails_each_time(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id = manager.create_session(a_request())
        for _ in range(2):
            for status in ("processing", "failed"):
                clock.advance(seconds=1)
                manager.update_session_status(session_id, status, "no paint")
            clock.advance(seconds=1)
            assert manager.retry_session(session_id)

        assert counted(manager) == {"created": 1, "started": 1, "failed": 2, "retried": 2}
        assert manager.report("failures").rows == [], "it is not failed any more"
        assert manager.report("hourly").rows[0][-3:] == (1.0, 1000.0, (1000 + 4000) / 2)

    def test_one_finish_after_another_counts_both_and_no_retry(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        for status in ("processing", "failed", "completed"):
            clock.advance(seconds=1)
            manager.update_session_status(session_id, status)

        assert counted(manager) == {"created": 1, "started": 1, "completed": 1, "failed": 1}
        assert manager.report("hourly").rows[0][-3] == 0.5
        assert manager.report("sessions").rows[0][10:12] == (1000, 2000)

    def test_each_scene_that_is_saved_counts_and_a_session_has_those_it_keeps(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        for number in (1, 2, 2):
            manager.add_scene_to_session(session_id, a_scene(number))
        manager.set_session_scenes(session_id, [a_scene(3)])
        manager.set_session_scenes(session_id, [])
        manager.atomic_session_update(session_id, {"scenes": [a_scene(1), a_scene(2), a_scene(3)]})
        manager.with_session_lock(session_id, lambda session: session.scenes.pop())

        assert counted(manager) == {"created": 1, "scene": 3 + 1 + 0 + 3 + 0}
        assert manager.report("sessions").rows[0][4] == 2

    def test_a_list_that_grows_counts_each_of_its_scenes_once(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(num_scenes=5))
        for number in range(1, 6):
            manager.with_session_lock(session_id, lambda session, number=number: session.scenes.append(a_scene(number)))  # type: ignore[misc]
        manager.set_session_scenes(session_id, [a_scene(1), a_scene(2, title="Another")])

        assert counted(manager) == {"created": 1, "scene": 5 + 1}

    def test_scenes_that_are_to_be_made_again_are_missing_until_they_are_made(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(num_scenes=3))
        manager.set_session_scenes(session_id, [a_scene(number) for number in (1, 2, 3)])
        manager.update_session_status(session_id, "completed")
        assert manager.retry_session(session_id, [2, 3])
        assert manager.report("sessions").rows[0][4] == 1

        manager.add_scene_to_session(session_id, a_scene(2))

        assert counted(manager) == {"created": 1, "completed": 1, "retried": 1, "scene": 4}
        assert manager.report("sessions").rows[0][4] == 2

    def test_a_scene_takes_the_time_since_the_last_one_or_since_its_status_began(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(hours=1)
        manager.update_session_status(session_id, "processing")
        for seconds, number in ((2, 1), (3, 2), (4, 1)):
            clock.advance(seconds=seconds)
            manager.add_scene_to_session(session_id, a_scene(number))
        clock.advance(seconds=50)
        manager.update_session_status(session_id, "downloading")
        clock.advance(seconds=5.0004)
        manager.add_scene_to_session(session_id, a_scene(3))

        assert manager.report("scenes").rows == [
            (clock.now.replace(minute=0, second=0, microsecond=0), "cinematic", 4, 4 / 60, 14_000 / 4, 2_000, 5_000)
        ]

    def test_hours_begin_and_end_where_utc_has_them(self, manager: Manager, clock: ManualClock) -> None:
        last = clock.now.replace(minute=59, second=59, microsecond=999_999)
        for now in (last, last.replace(microsecond=0), clock.now.replace(hour=clock.now.hour + 1)):
            clock.now = now
            manager.create_session(a_request())

        assert [(row[0].hour, row[2]) for row in manager.report("hourly").rows] == [(12, 2), (13, 1)]

    def test_a_restart_changes_no_report(self, open_manager: OpenManager) -> None:
        before = open_manager()
        for status in ("failed", "completed", "processing"):
            session_id = before.create_session(a_request(media_type="cartoon"))
            before.update_session_status(session_id, status)
            before.add_scene_to_session(session_id, a_scene(1))
        before.cleanup_failed_sessions()
        expected = everything_reported(before)
        before.shutdown()

        assert everything_reported(open_manager()) == expected
