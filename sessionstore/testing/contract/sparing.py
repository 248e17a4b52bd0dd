"""What no cleanup by itself may take: sessions that somebody works on, and those that money hangs on."""

from collections.abc import Callable

import pytest

from sessionstore.errors import LeaseLostError, SessionCapacityError
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import Execute, Manager, OpenManager, a_request, create_in_status
from sessionstore.testing.contract.held_calls import hold
from sessionstore.testing.contract.studio import Studio, in_the_books
from sessionstore.testing.contract.tracking import A_MOMENT, TrackingGroup, begin


def ids_in(manager: Manager) -> set[str]:
    return {info["session_id"] for info in manager.get_all_sessions_info()}


def create_spared(manager: Manager, why: str) -> tuple[str, object]:
    """A session that is to be spared, and what keeps it so."""
    run = begin(manager)
    if why == "held call":
        hold(run, Studio(), 1)
    return run.session_id, run


spared = pytest.mark.parametrize("why", ["lease", "held call"])


class SparingContract(TrackingGroup):
    """Expiry and eviction of sessions under a lease or with a held call."""

    @spared
    def test_a_spared_session_does_not_expire_and_is_not_counted_as_expired(
        self, alone: Manager, clock: ManualClock, why: str
    ) -> None:
        session_id, keeper = create_spared(alone, why)
        alone.create_session(a_request())
        clock.advance(hours=25)
        assert alone.count_expired_sessions() == 1

        assert alone.cleanup_expired_sessions() == 1

        assert ids_in(alone) == {session_id}
        assert (alone.count_expired_sessions(), alone.cleanup_expired_sessions(0)) == (0, 0)
        del keeper

    def test_a_session_expires_once_its_lease_has_ended(self, alone: Manager, clock: ManualClock) -> None:
        run = begin(alone)
        clock.advance(hours=25)
        run.release()

        assert (alone.count_expired_sessions(), alone.cleanup_expired_sessions()) == (1, 1)

    def test_a_session_expires_once_nothing_of_it_is_held(self, alone: Manager, clock: ManualClock) -> None:
        create_spared(alone, "held call")
        clock.advance(hours=25)
        (call,) = alone.list_held_calls()
        assert alone.allow_retry(call.call_id)

        assert (alone.count_expired_sessions(), alone.cleanup_expired_sessions()) == (1, 1)

    @spared
    def test_a_full_store_evicts_the_oldest_that_is_not_spared(
        self, open_manager: OpenManager, clock: ManualClock, why: str
    ) -> None:
        manager = open_manager(max_sessions=2, recovery_interval=None)
        session_id, keeper = create_spared(manager, why)
        clock.advance(**A_MOMENT)
        second = manager.create_session(a_request())

        third = manager.create_session(a_request())

        assert ids_in(manager) == {session_id, third}
        assert manager.find_tombstone(second) is not None
        del keeper

    @spared
    @pytest.mark.parametrize("eviction", ["oldest", "finished"])
    def test_a_store_full_of_spared_sessions_takes_no_more(
        self, open_manager: OpenManager, why: str, eviction: str
    ) -> None:
        manager = open_manager(max_sessions=2, eviction=eviction, recovery_interval=None)
        kept = [create_spared(manager, why) for _ in range(2)]

        with pytest.raises(SessionCapacityError):
            manager.create_session(a_request())

        assert ids_in(manager) == {session_id for session_id, _ in kept}

    @spared
    def test_a_lower_capacity_does_not_take_spared_sessions(self, alone: Manager, clock: ManualClock, why: str) -> None:
        kept = [create_spared(alone, why) for _ in range(2)]
        clock.advance(**A_MOMENT)
        for _ in range(3):
            create_in_status(alone, "completed")

        alone.reconfigure(max_sessions=1)

        assert ids_in(alone) == {session_id for session_id, _ in kept}

    @spared
    @pytest.mark.parametrize(
        "remove",
        [
            lambda manager, session_id: manager.remove_session(session_id) is True,
            lambda manager, session_id: manager.force_cleanup_all() == 1,
        ],
        ids=["remove_session", "force_cleanup_all"],
    )
    def test_who_asks_for_it_removes_spared_sessions_too(
        self, alone: Manager, execute: Execute, why: str, remove: Callable[[Manager, str], bool]
    ) -> None:
        session_id, keeper = create_spared(alone, why)

        assert remove(alone, session_id)

        assert ids_in(alone) == set()
        assert set(in_the_books(execute)) <= {"abandoned"}
        del keeper

    def test_the_run_of_a_session_that_was_removed_notices(self, alone: Manager) -> None:
        run = begin(alone)
        alone.force_cleanup_all()

        with pytest.raises(LeaseLostError, match="is gone"):
            run.heartbeat()
