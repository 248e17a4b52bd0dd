"""What a full store does: expired sessions go first, then what the setting `eviction` allows."""

import threading

import pytest

from sessionstore.errors import SessionCapacityError
from sessionstore.models import GenerationStatus
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    at_once,
    create_in_status,
    listen,
    saved,
)


def living(manager: Manager) -> list[str]:
    return [info["session_id"] for info in manager.get_all_sessions_info()]


def create_one_a_minute(manager: Manager, clock: ManualClock, *statuses: str) -> list[str]:
    """Sessions in these statuses, each a minute younger than the one before; their ids."""
    ids = []
    for status in statuses:
        ids.append(create_in_status(manager, status))
        clock.advance(minutes=1)
    return ids


class CapacityContract(ContractGroup):
    """`max_sessions`, the three eviction policies, and `reconfigure`."""

    def test_a_full_store_forgets_the_oldest(self, open_manager: OpenManager, clock: ManualClock) -> None:
        manager = open_manager(max_sessions=2)
        ids = create_one_a_minute(manager, clock, "processing", "completed")

        newest = manager.create_session(a_request())

        assert living(manager) == [ids[1], newest]

    def test_the_default_capacity_is_100(self, manager: Manager) -> None:
        for _ in range(101):
            newest = manager.create_session(a_request())

        assert manager.get_session_count() == 100
        assert saved(manager, newest).session_id == newest

    @pytest.mark.parametrize("eviction", ["oldest", "finished", "reject"])
    def test_expired_sessions_go_first(self, open_manager: OpenManager, clock: ManualClock, eviction: str) -> None:
        manager = open_manager(max_sessions=3, eviction=eviction)
        pending, completed, failed = create_one_a_minute(manager, clock, "pending", "completed", "failed")
        clock.advance(hours=1)

        newest = manager.create_session(a_request())

        assert living(manager) == [pending, completed, newest]
        tombstone = manager.find_tombstone(failed)
        assert tombstone is not None
        assert tombstone.reason == "expired"

    @pytest.mark.parametrize("finished", ["completed", "failed", "cancelled"])
    def test_with_eviction_finished_only_terminal_sessions_go(
        self, open_manager: OpenManager, clock: ManualClock, finished: str
    ) -> None:
        manager = open_manager(max_sessions=4, eviction="finished")
        ids = create_one_a_minute(manager, clock, "processing", finished, finished, "downloading")

        newest = manager.create_session(a_request())

        assert living(manager) == [ids[0], ids[2], ids[3], newest]

    def test_with_eviction_finished_and_nothing_finished_the_store_is_full(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(max_sessions=2, eviction="finished")
        ids = create_one_a_minute(manager, clock, "processing", "downloading")

        with pytest.raises(SessionCapacityError) as caught:
            manager.create_session(a_request())

        assert caught.value.max_sessions == 2
        assert living(manager) == ids

    def test_with_eviction_reject_nobody_goes(self, open_manager: OpenManager, clock: ManualClock) -> None:
        manager = open_manager(max_sessions=2, eviction="reject")
        ids = create_one_a_minute(manager, clock, "completed", "failed")
        heard = listen(manager, "created", "evicted")

        with pytest.raises(SessionCapacityError):
            manager.create_session(a_request())

        assert living(manager) == ids
        assert heard == []

    def test_a_store_without_a_maximum_is_unbounded(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=None)
        with manager.transaction():
            for _ in range(120):
                manager.create_session(a_request())

        assert manager.get_session_count() == 120

    @pytest.mark.parametrize("eviction", ["oldest", "reject"])
    def test_threads_that_create_at_once_do_not_exceed_the_capacity(
        self, open_manager: OpenManager, eviction: str
    ) -> None:
        manager = open_manager(max_sessions=5, eviction=eviction)

        def create() -> bool:
            try:
                manager.create_session(a_request())
            except SessionCapacityError:
                return False
            return True

        admitted = at_once(*[create] * 12)

        assert manager.get_session_count() == 5
        assert admitted.count(True) == (12 if eviction == "oldest" else 5)

    # Changing it

    def test_a_lower_capacity_cleans_up_at_once(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, "pending", "completed", "processing", "pending")

        manager.reconfigure(max_sessions=2)

        assert living(manager) == ids[2:]
        assert manager.settings.max_sessions == 2

    def test_a_lower_capacity_removes_no_more_than_the_eviction_allows(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(eviction="finished")
        ids = create_one_a_minute(manager, clock, "pending", "completed", "processing")

        manager.reconfigure(max_sessions=1)

        assert living(manager) == [ids[0], ids[2]]

    def test_a_new_capacity_counts_for_the_next_creation(self, open_manager: OpenManager, clock: ManualClock) -> None:
        manager = open_manager(max_sessions=1)
        (first,) = create_one_a_minute(manager, clock, "pending")
        manager.reconfigure(max_sessions=2)

        second = manager.create_session(a_request())

        assert living(manager) == [first, second]

    def test_a_new_interval_wakes_the_cleanup(self, open_manager: OpenManager, clock: ManualClock) -> None:
        # Without other occasions to wake, so that it is the new interval that does.
        manager = open_manager(cleanup_interval=3600, touch_interval=3600)
        gone = threading.Event()
        manager.register_session_callback("expired", lambda *_: gone.set())
        manager.create_session(a_request())
        clock.advance(hours=25)

        manager.reconfigure(cleanup_interval=0.02)

        assert gone.wait(PATIENCE_SECONDS)

    def test_what_is_not_given_stays(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=7, cleanup_interval=60)

        manager.reconfigure(cleanup_interval=120)
        manager.reconfigure(max_sessions=8)

        assert (manager.settings.max_sessions, manager.settings.cleanup_interval) == (8, 120)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("max_sessions", 0), ("max_sessions", -1), ("cleanup_interval", 0), ("cleanup_interval", -1)],
    )
    def test_a_value_out_of_range_is_refused_and_changes_nothing(self, manager: Manager, name: str, value: int) -> None:
        session_id = create_in_status(manager, "completed")
        before = manager.settings

        with pytest.raises(ValueError, match=name):
            manager.reconfigure(**{"max_sessions": 50, name: value})

        assert manager.settings == before
        assert saved(manager, session_id).status is GenerationStatus.COMPLETED
