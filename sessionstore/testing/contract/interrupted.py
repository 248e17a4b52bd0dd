"""Sessions whose worker is gone: when they are given to the next one, when not, and when it is enough."""

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from sessionstore.errors import SessionLockError
from sessionstore.models import GenerationStatus
from sessionstore.operations import interrupted
from sessionstore.persistence.tables import EventRow, RunRow, SessionRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    at_once,
    listen,
    lock_held_elsewhere,
    saved,
    scene_numbers,
)
from sessionstore.testing.contract.tracking import TrackingGroup, begin, claim, die, everything, expire_lease

# A lease of 60 seconds, and a little more.
PAST_THE_LEASE = {"seconds": 61}


def crash(manager: Manager, clock: ManualClock, worker: str = "gpu-1") -> str:
    """A worker claims the oldest pending session and dies, which is noticed; the session's id."""
    session_id = die(manager, worker)
    clock.advance(**PAST_THE_LEASE)
    assert manager.recover_interrupted_sessions() == 1
    return session_id


class InterruptedContract(TrackingGroup):
    """`recover_interrupted_sessions`, and `max_attempts`."""

    def test_a_session_that_nobody_works_on_any_more_is_pending_after_its_lease(
        self, alone: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        session_id = alone.create_session(a_request())
        alone.add_scene_to_session(session_id, a_scene(1))
        die(alone)
        clock.advance(seconds=59)
        assert alone.recover_interrupted_sessions() == 0
        clock.advance(seconds=1)

        assert alone.recover_interrupted_sessions() == 1

        session = saved(alone, session_id)
        assert (session.status, session.error_message, session.attempt) == (GenerationStatus.PENDING, None, 1)
        assert session.scenes == [a_scene(1)]
        assert execute(select(RunRow.outcome, RunRow.ended_at)) == [("crashed", clock.now)]
        assert claim(alone, "gpu-2").attempt == 2

    def test_there_is_nothing_to_recover_where_nobody_has_died(self, alone: Manager, execute: Execute) -> None:
        alone.create_session(a_request())
        run = begin(alone)
        begin(alone).release()
        before = everything(execute)

        assert alone.recover_interrupted_sessions() == 0

        assert everything(execute) == before
        run.heartbeat()

    def test_a_recovery_is_recorded_and_announced(self, alone: Manager, clock: ManualClock, execute: Execute) -> None:
        heard = listen(alone, "recovered", "failed")
        alone.create_session(a_request())

        session_id = crash(alone, clock)

        events = execute(select(EventRow.event_type, EventRow.status, EventRow.attempt).order_by(EventRow.event_id))
        assert events[-1] == ("recovered", "pending", 1)
        assert [(call.event_type, call.session_id, call.session.status) for call in heard] == [
            ("recovered", session_id, "pending")
        ]

    def test_a_run_that_lives_keeps_its_session_through_a_jump_of_the_clock(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(recovery_interval=None)
        run = begin(manager)
        clock.advance(hours=12)

        assert manager.recover_interrupted_sessions() == 0

        run.add_scene(a_scene(1))
        assert scene_numbers(manager, run.session_id) == [1]

    def test_the_leases_of_living_runs_are_renewed_without_a_word_from_them(
        self, alone: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        runs = [begin(alone), begin(alone)]
        clock.advance(seconds=30)

        deadline = time.monotonic() + PATIENCE_SECONDS
        wanted = [(clock.now + timedelta(seconds=60),)] * len(runs)
        while execute(select(RunRow.lease_expires_at)) != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_a_heartbeat_renews_the_lease_at_once(self, alone: Manager, clock: ManualClock, execute: Execute) -> None:
        run = begin(alone)
        expire_lease(execute, clock.now)

        run.heartbeat()

        assert alone.recover_interrupted_sessions() == 0
        run.complete()

    def test_a_clock_that_was_set_back_does_not_make_a_lease_longer(self, alone: Manager, clock: ManualClock) -> None:
        alone.create_session(a_request())
        die(alone)
        clock.advance(hours=-2)
        assert alone.recover_interrupted_sessions() == 0
        clock.advance(**PAST_THE_LEASE)

        assert alone.recover_interrupted_sessions() == 1

    def test_a_session_is_recovered_once_however_many_look(
        self, alone: Manager, open_manager: OpenManager, clock: ManualClock, execute: Execute
    ) -> None:
        managers = [alone, *(open_manager(recovery_interval=None) for _ in range(3))]
        for _ in range(5):
            alone.create_session(a_request())
            die(alone)
        clock.advance(**PAST_THE_LEASE)

        assert sum(at_once(*(manager.recover_interrupted_sessions for manager in managers))) == 5

        assert execute(select(RunRow.outcome)) == [("crashed",)] * 5
        recovered = execute(select(EventRow.session_id).where(EventRow.event_type == "recovered"))
        assert len(set(recovered)) == len(recovered) == 5

    def test_more_sessions_than_one_transaction_takes_are_all_recovered(
        self, alone: Manager, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interrupted, "BATCH_RUNS", 2)
        for _ in range(5):
            alone.create_session(a_request())
            die(alone)
        clock.advance(**PAST_THE_LEASE)

        assert alone.recover_interrupted_sessions() == 5

        assert len(alone.get_sessions_by_status("pending")) == 5

    def test_a_corrupted_session_is_recovered_like_any_other(
        self, alone: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        listen(alone, "recovered")
        for _ in range(2):
            alone.create_session(a_request())
        broken = die(alone)
        die(alone)
        execute(update(SessionRow).where(SessionRow.session_id == broken).values(request_data="{}"))
        clock.advance(**PAST_THE_LEASE)

        assert alone.recover_interrupted_sessions() == 2

        assert execute(select(SessionRow.status)) == [("pending",)] * 2

    def test_interrupted_sessions_are_recovered_by_themselves(
        self, open_manager: OpenManager, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
        manager, recovered = open_manager(recovery_interval=0.02), threading.Event()
        manager.register_session_callback("recovered", lambda *_: recovered.set())
        manager.create_session(a_request())
        session_id = die(manager)

        clock.advance(**PAST_THE_LEASE)

        assert recovered.wait(PATIENCE_SECONDS)
        assert saved(manager, session_id).status is GenerationStatus.PENDING

    def test_after_an_outage_owners_get_a_lease_period_before_they_are_declared_dead(
        self, open_manager: OpenManager, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
        manager, other = open_manager(recovery_interval=None, lock_timeout=0.2), open_manager(recovery_interval=None)
        manager.create_session(a_request())
        session_id = die(manager, lease_seconds=1)
        clock.advance(seconds=2)
        with lock_held_elsewhere(other, session_id), pytest.raises(SessionLockError):
            manager.recover_interrupted_sessions()

        back_at = time.monotonic()
        while manager.recover_interrupted_sessions() == 0:
            assert time.monotonic() < back_at + PATIENCE_SECONDS
            time.sleep(0.01)

        assert time.monotonic() >= back_at + 1
        assert saved(manager, session_id).status is GenerationStatus.PENDING

    # Enough is enough

    def test_a_session_is_failed_with_the_reason_after_max_attempts_crashes_in_a_row(
        self, alone: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        heard = listen(alone, "failed", "recovered")
        session_id = alone.create_session(a_request())
        for _ in range(3):
            assert saved(alone, session_id).status is GenerationStatus.PENDING
            crash(alone, clock, "gpu-7")

        session = saved(alone, session_id)
        assert (session.status, session.finished_at) == (GenerationStatus.FAILED, clock.now)
        message = session.error_message or ""
        assert "its workers died 3 times in a row" in message
        assert "attempt 3 of worker 'gpu-7' (its lease ran out unrenewed)" in message
        assert alone.claim_next_session("gpu-1") is None
        assert [call.event_type for call in heard] == ["recovered", "recovered", "failed", "recovered"]
        assert execute(select(EventRow.event_type).order_by(EventRow.event_id))[-1] == ("recovered",)

    def test_max_attempts_is_a_setting(self, alone: Manager, open_manager: OpenManager, clock: ManualClock) -> None:
        strict = open_manager(recovery_interval=None, max_attempts=1)
        session_id = strict.create_session(a_request())

        crash(strict, clock)

        assert saved(strict, session_id).status is GenerationStatus.FAILED

    def test_being_released_between_two_crashes_neither_counts_as_one_nor_ends_the_row(
        self, alone: Manager, clock: ManualClock
    ) -> None:
        session_id = alone.create_session(a_request())
        for _ in range(2):
            crash(alone, clock)
            for _ in range(3):
                claim(alone).release()
        assert saved(alone, session_id).status is GenerationStatus.PENDING

        crash(alone, clock)

        assert saved(alone, session_id).status is GenerationStatus.FAILED

    def test_sessions_are_counted_each_by_itself(self, alone: Manager, clock: ManualClock) -> None:
        for _ in range(3):
            alone.create_session(a_request())
        for _ in range(2):
            for _ in range(3):
                die(alone)
            clock.advance(**PAST_THE_LEASE)
            assert alone.recover_interrupted_sessions() == 3

        assert len(alone.get_sessions_by_status("pending")) == 3

    @pytest.mark.parametrize("status", ["failed", "cancelled", "completed"])
    def test_a_retry_after_a_run_that_ended_by_itself_gets_as_many_attempts_again(
        self, alone: Manager, clock: ManualClock, status: str
    ) -> None:
        session_id = alone.create_session(a_request())
        crash(alone, clock)
        crash(alone, clock)
        claim(alone)
        alone.update_session_status(session_id, status)
        assert alone.retry_session(session_id, [1])

        crash(alone, clock)
        crash(alone, clock)
        assert saved(alone, session_id).status is GenerationStatus.PENDING
        crash(alone, clock)

        assert saved(alone, session_id).status is GenerationStatus.FAILED

    def test_a_retry_after_max_attempts_gets_as_many_attempts_again(self, alone: Manager, clock: ManualClock) -> None:
        session_id = alone.create_session(a_request())
        for _ in range(3):
            crash(alone, clock)
        assert alone.retry_session(session_id)

        crash(alone, clock)
        crash(alone, clock)

        assert saved(alone, session_id).status is GenerationStatus.PENDING
        assert claim(alone).attempt == 6

    def test_a_retry_of_what_was_cancelled_between_two_attempts_gets_as_many_attempts_again(
        self, alone: Manager, clock: ManualClock
    ) -> None:
        session_id = alone.create_session(a_request())
        crash(alone, clock)
        crash(alone, clock)
        alone.cancel_session(session_id)
        assert alone.retry_session(session_id)

        crash(alone, clock)

        assert saved(alone, session_id).status is GenerationStatus.PENDING
