"""Fencing: whoever has lost a session changes nothing of it any more, by no method, and is told who has it now."""

import threading
from collections.abc import Callable
from itertools import count

import pytest
from sqlalchemy import select

from sessionstore.errors import LeaseLostError, SessionCancelledError
from sessionstore.persistence.tables import RunRow
from sessionstore.providers import Provider
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    at_once,
    saved,
    scene_numbers,
)
from sessionstore.testing.contract.tracking import (
    A_MOMENT,
    Run,
    TrackingGroup,
    begin,
    claim,
    everything,
    expire_lease,
)


def never_asked(*_: object) -> str:
    """A function of a provider that nobody may call."""
    raise AssertionError("a stale run asked the provider")


def write_in_a_transaction(run: Run) -> None:
    with run.transaction():
        raise AssertionError("a stale run got into its transaction")


WRITES: dict[str, Callable[[Run], object]] = {
    "add_scene": lambda run: run.add_scene(a_scene(1)),
    "update_progress": lambda run: run.update_progress(1, 2, "painting"),
    "update_status": lambda run: run.update_status("downloading"),
    "transaction": write_in_a_transaction,
    "heartbeat": lambda run: run.heartbeat(),
    "raise_if_cancelled": lambda run: run.raise_if_cancelled(),
    "call": lambda run: run.call(Provider(name="studio", submit=never_asked, fetch=never_asked), 1, {}),
    "complete": lambda run: run.complete(),
    "fail": lambda run: run.fail("too late"),
    "release": lambda run: run.release(),
}


def take_over(manager: Manager, run: Run, execute: Execute, clock: ManualClock) -> Run:
    """Somebody else claims the session of `run`, which has missed that its lease ran out."""
    expire_lease(execute, clock.now)
    assert manager.recover_interrupted_sessions() == 1
    return manager.track(run.session_id, "gpu-2")


def lose_to_another(manager: Manager, run: Run, execute: Execute, clock: ManualClock) -> object:
    return take_over(manager, run, execute, clock)


def lose_by_cancellation(manager: Manager, run: Run, execute: Execute, clock: ManualClock) -> object:
    return manager.cancel_session(run.session_id)


def lose_by_removal(manager: Manager, run: Run, execute: Execute, clock: ManualClock) -> object:
    return manager.remove_session(run.session_id)


def lose_by_removal_and_making_again(manager: Manager, run: Run, execute: Execute, clock: ManualClock) -> object:
    manager.remove_session(run.session_id)
    clock.advance(**A_MOMENT)
    manager.create_session(a_request(), session_id=run.session_id)
    return manager.track(run.session_id, "gpu-2")


Loss = Callable[[Manager, Run, Execute, ManualClock], object]
LOSSES: list[Loss] = [lose_to_another, lose_by_cancellation, lose_by_removal, lose_by_removal_and_making_again]


class FencingContract(TrackingGroup):
    """`LeaseLostError`, and everything that it keeps from happening."""

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    @pytest.mark.parametrize("lose", LOSSES)
    def test_a_stale_run_changes_nothing(
        self, alone: Manager, execute: Execute, clock: ManualClock, lose: Loss, write: Callable[[Run], object]
    ) -> None:
        run = begin(alone, "gpu-1")
        held = lose(alone, run, execute, clock)
        before = everything(execute)

        with pytest.raises(LeaseLostError, match=run.session_id) as caught:
            write(run)

        assert caught.value.session_id == run.session_id
        assert everything(execute) == before
        del held

    @pytest.mark.parametrize("name", sorted(WRITES.keys() - {"transaction", "call"}))
    def test_a_run_that_holds_its_lease_may_write(self, manager: Manager, name: str) -> None:
        run = begin(manager)

        WRITES[name](run)

    def test_the_refusal_names_the_new_owner_and_both_attempts(
        self, alone: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        run = begin(alone, "gpu-1")
        owner = take_over(alone, run, execute, clock)

        with pytest.raises(
            LeaseLostError, match=r"is now attempt 2 of worker 'gpu-2' \(yours was attempt 1\)"
        ) as caught:
            run.add_scene(a_scene(1))

        assert caught.value.holder == owner.worker == "gpu-2"
        assert not isinstance(caught.value, SessionCancelledError)

    def test_the_refusal_says_when_the_new_owner_has_finished(
        self, alone: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        run = begin(alone, "gpu-1")
        take_over(alone, run, execute, clock).complete()

        with pytest.raises(LeaseLostError, match=r"attempt 2 of worker 'gpu-2', completed since"):
            run.complete()

    def test_the_new_owner_is_not_disturbed_by_the_old_ones_attempts(
        self, alone: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        run = begin(alone, "gpu-1")
        owner = take_over(alone, run, execute, clock)
        owner.add_scene(a_scene(1, title="the owner's"))
        for write in WRITES.values():
            with pytest.raises(LeaseLostError):
                write(run)

        owner.add_scene(a_scene(2))
        owner.complete()

        assert [scene.title for scene in saved(alone, run.session_id).scenes] == ["the owner's", "Scene 2"]

    def test_a_run_that_was_taken_back_and_not_claimed_yet_is_told_why(
        self, alone: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        run = begin(alone)
        expire_lease(execute, clock.now)
        alone.recover_interrupted_sessions()

        with pytest.raises(LeaseLostError, match="was taken back from attempt 1, whose lease ran out") as caught:
            run.heartbeat()

        assert caught.value.holder is None

    def test_a_cancelled_run_is_told_so_by_an_error_of_its_own(self, manager: Manager) -> None:
        run = begin(manager)
        manager.cancel_session(run.session_id)

        with pytest.raises(SessionCancelledError, match="was cancelled; stop this run"):
            run.raise_if_cancelled()

    def test_a_run_of_a_removed_session_is_told_that_it_is_gone(self, manager: Manager) -> None:
        run = begin(manager)
        manager.remove_session(run.session_id)

        with pytest.raises(LeaseLostError, match="is gone") as caught:
            run.heartbeat()

        assert not isinstance(caught.value, SessionCancelledError)

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("pending", "released"), ("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled")],
    )
    def test_a_change_of_status_from_outside_that_ends_the_session_ends_the_run(
        self, manager: Manager, execute: Execute, status: str, outcome: str
    ) -> None:
        run = begin(manager)

        manager.update_session_status(run.session_id, status)

        assert execute(select(RunRow.outcome)) == [(outcome,)]
        with pytest.raises(LeaseLostError):
            run.add_scene(a_scene(1))

    @pytest.mark.parametrize("status", ["processing", "downloading"])
    def test_a_change_between_active_statuses_from_outside_ends_no_run(self, manager: Manager, status: str) -> None:
        run = begin(manager)

        manager.update_session_status(run.session_id, status)

        run.add_scene(a_scene(1))

    def test_other_ways_to_change_the_status_end_the_run_too(self, manager: Manager) -> None:
        locked, atomic, bulk = begin(manager), begin(manager), begin(manager)

        manager.with_session_lock(locked.session_id, lambda session: setattr(session, "status", "failed"))
        manager.atomic_session_update(atomic.session_id, {"status": "completed"})
        manager.bulk_update_sessions([bulk.session_id], lambda session: setattr(session, "status", "pending"))

        for run in (locked, atomic, bulk):
            with pytest.raises(LeaseLostError):
                run.heartbeat()

    def test_a_session_made_again_in_the_same_millisecond_is_none_of_the_old_run(
        self, manager: Manager, execute: Execute
    ) -> None:
        run = begin(manager, "gpu-1")
        manager.remove_session(run.session_id)
        manager.create_session(a_request(), session_id=run.session_id)
        owner = manager.track(run.session_id, "gpu-2")

        with pytest.raises(LeaseLostError):
            run.add_scene(a_scene(1))

        owner.add_scene(a_scene(2))
        assert scene_numbers(manager, run.session_id) == [2]

    def test_a_worker_that_writes_all_the_time_saves_nothing_after_it_was_taken_over(self, manager: Manager) -> None:
        run, is_writing = begin(manager, "gpu-1"), threading.Event()

        def write() -> int:
            for number in count():
                try:
                    run.add_scene(a_scene(number))
                except LeaseLostError:
                    return number
                is_writing.set()
            raise AssertionError

        def take_it() -> Run:
            assert is_writing.wait(PATIENCE_SECONDS)
            manager.update_session_status(run.session_id, "pending")
            return manager.track(run.session_id, "gpu-2")

        acknowledged, owner = at_once(write, take_it)

        assert len(owner.session.scenes) == acknowledged
        assert scene_numbers(manager, run.session_id) == list(range(acknowledged))

    def test_what_is_written_in_a_transaction_of_a_run_is_kept_whole_or_not_at_all(self, manager: Manager) -> None:
        run = begin(manager)

        def work() -> None:
            with run.transaction():
                run.add_scene(a_scene(1))
                manager.create_session(a_request(), session_id="sequel")
                raise LookupError

        with pytest.raises(LookupError):
            work()
        assert (scene_numbers(manager, run.session_id), manager.get_session("sequel")) == ([], None)

        with run.transaction():
            run.add_scene(a_scene(1))
            manager.create_session(a_request(), session_id="sequel")
        assert scene_numbers(manager, run.session_id) == [1]
        assert saved(manager, "sequel").session_id == "sequel"

    def test_a_run_of_one_manager_is_fenced_off_by_a_claim_through_another(
        self, alone: Manager, open_manager: OpenManager, execute: Execute, clock: ManualClock
    ) -> None:
        other = open_manager(recovery_interval=None)
        run = begin(alone, "gpu-1")
        expire_lease(execute, clock.now)
        other.recover_interrupted_sessions()
        owner = claim(other, "gpu-2")

        with pytest.raises(LeaseLostError, match="'gpu-2'"):
            run.complete()

        owner.complete()
