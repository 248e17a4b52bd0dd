"""Paid calls under bad circumstances: transactions, threads, closing stores, and workers who answer too late."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import select

from sessionstore.errors import (
    CallHeldError,
    LeaseLostError,
    ManagerClosedError,
    SessionCancelledError,
    SessionLockError,
    SessionManagerError,
)
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.testing import ManualClock, wait_for_cleanup
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    lock_held_elsewhere,
    saved,
)
from sessionstore.testing.contract.studio import RESULT, Studio, buy, in_the_books
from sessionstore.testing.contract.tracking import A_MOMENT, TrackingGroup, begin, claim


def wait_in(sending: threading.Event, go_on: threading.Event) -> Callable[[], object]:
    """What a provider does that says that it is being asked, and answers when it may."""

    def wait() -> None:
        sending.set()
        assert go_on.wait(PATIENCE_SECONDS)

    return wait


class PaidCallsContract(TrackingGroup):
    """What becomes of a job when the session, the run or the store does not outlive it."""

    # Not alone

    @pytest.mark.parametrize("opened_by", ["manager", "run"])
    def test_nothing_is_bought_inside_a_transaction_where_the_intention_could_not_be_committed(
        self, manager: Manager, execute: Execute, opened_by: str
    ) -> None:
        run, studio = begin(manager), Studio()

        def work() -> None:
            with run.transaction() if opened_by == "run" else manager.transaction():
                buy(run, studio)

        with pytest.raises(SessionManagerError, match="transaction"):
            work()

        assert (studio.sent, in_the_books(execute)) == ([], [])

    def test_a_scene_that_two_threads_ask_for_at_once_is_bought_once(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        sending, go_on = threading.Event(), threading.Event()
        studio.on_submit = wait_in(sending, go_on)

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(buy, run, studio)
            assert sending.wait(PATIENCE_SECONDS)
            with pytest.raises(SessionManagerError, match="another thread of this run"):
                buy(run, studio)
            assert manager.list_held_calls() == []
            go_on.set()
            assert first.result(PATIENCE_SECONDS) == RESULT

        assert len(studio.sent) == 1
        assert manager.list_held_calls() == []

    def test_closing_the_store_waits_until_the_job_that_is_being_submitted_is_known(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        manager = open_manager()
        run, studio = begin(manager), Studio()
        sending, go_on = threading.Event(), threading.Event()
        studio.on_submit = wait_in(sending, go_on)

        with ThreadPoolExecutor(1) as pool:
            buying = pool.submit(buy, run, studio)
            assert sending.wait(PATIENCE_SECONDS)
            assert manager.shutdown(timeout=0.05) is False
            go_on.set()
            with pytest.raises(ManagerClosedError):
                buying.result(PATIENCE_SECONDS)
        assert manager.shutdown(PATIENCE_SECONDS)

        assert in_the_books(execute, ProviderCallRow.job_id) == [("submitted", "job-1")]
        assert buy(claim(open_manager()), studio) == RESULT
        assert len(studio.sent) == 1

    def test_a_stop_that_is_asked_for_when_a_call_is_intended_has_it_not_sent(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio = begin(manager), Studio()

        def price(request: object, result: object) -> None:
            if not studio.sent:
                run.request_stop()

        with pytest.raises(SystemExit), run:
            buy(run, studio, cost=price)

        assert studio.sent == []
        assert in_the_books(execute, ProviderCallRow.reason) == [
            ("not_sent", "its worker was asked to stop before it was sent")
        ]
        assert buy(claim(manager), studio) == RESULT
        assert len(studio.sent) == 1

    # A job's id that could not be recorded

    def test_a_job_id_that_could_not_be_recorded_is_as_soon_as_the_database_can_be_written(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        manager, other = open_manager(lock_timeout=0.2, recovery_interval=None), open_manager(recovery_interval=None)
        run, studio, elsewhere = begin(manager), Studio(), other.create_session(a_request())
        other.cancel_session(elsewhere)

        with ExitStack() as outage:
            studio.on_submit = lambda: outage.enter_context(lock_held_elsewhere(other, elsewhere))
            with pytest.raises(SessionLockError) as caught, run:
                buy(run, studio)
            assert in_the_books(execute) == ["intended"]
        assert "'job-1'" in caught.value.__notes__[0]

        deadline = time.monotonic() + PATIENCE_SECONDS
        while saved(other, run.session_id).status is not GenerationStatus.PENDING:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert in_the_books(execute, ProviderCallRow.job_id) == [("submitted", "job-1")]
        studio.on_submit = lambda: None
        assert buy(claim(other), studio) == RESULT
        assert (len(studio.sent), studio.asked) == (1, ["job-1"])

    # Too late

    @pytest.mark.parametrize(
        ("lose", "error"),
        [
            (lambda manager, session_id: manager.cancel_session(session_id), SessionCancelledError),
            (lambda manager, session_id: manager.update_session_status(session_id, "pending"), LeaseLostError),
            (lambda manager, session_id: manager.update_session_status(session_id, "failed"), LeaseLostError),
        ],
        ids=["cancelled", "given back", "failed"],
    )
    def test_the_job_of_a_session_that_nobody_has_claimed_since_is_recorded(
        self,
        manager: Manager,
        execute: Execute,
        lose: Callable[[Manager, str], object],
        error: type[LeaseLostError],
    ) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = lambda: lose(manager, run.session_id)

        with pytest.raises(error):
            buy(run, studio)

        assert in_the_books(execute, ProviderCallRow.job_id) == [("submitted", "job-1")]
        assert studio.asked == []
        manager.retry_session(run.session_id)
        assert buy(claim(manager, "gpu-2"), studio) == RESULT
        assert len(studio.sent) == 1

    def test_the_job_of_a_session_that_was_claimed_meanwhile_is_told_in_the_log_and_to_the_worker(
        self, manager: Manager, execute: Execute, caplog: pytest.LogCaptureFixture
    ) -> None:
        run, studio = begin(manager, "gpu-1"), Studio()
        owners = []

        def take_over() -> None:
            studio.on_submit = lambda: None
            manager.update_session_status(run.session_id, "pending")
            owners.append(claim(manager, "gpu-2"))
            with pytest.raises(CallHeldError):
                buy(owners[0], studio)

        studio.on_submit = take_over
        with caplog.at_level(logging.ERROR), pytest.raises(LeaseLostError, match="'gpu-2'") as caught:
            buy(run, studio)

        (note,) = caught.value.__notes__
        (held,) = manager.list_held_calls()
        assert "'job-1'" in note
        assert held.call_id in note
        assert [record.getMessage() for record in caplog.records] == [note]
        assert (len(studio.sent), held.job_id) == (1, None)

        assert manager.attach_job(held.call_id, "job-1")
        assert buy(owners[0], studio) == RESULT
        assert len(studio.sent) == 1

    def test_the_job_of_a_session_that_was_removed_meanwhile_is_told_too(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = lambda: manager.remove_session(run.session_id)

        with pytest.raises(LeaseLostError, match="is gone") as caught:
            buy(run, studio)

        assert "'job-1'" in caught.value.__notes__[0]
        assert in_the_books(execute, ProviderCallRow.reason) == [("abandoned", "its session was removed")]

    # The ledger and its sessions

    @pytest.mark.parametrize(
        ("go", "reason"),
        [
            (lambda manager, session_id: manager.remove_session(session_id), "removed"),
            (lambda manager, session_id: manager.force_cleanup_all(), "cleared"),
            (lambda manager, session_id: manager.cleanup_expired_sessions(0), "expired"),
            (lambda manager, session_id: manager.reconfigure(max_sessions=1), "evicted"),
        ],
        ids=["removed", "cleared", "expired", "evicted"],
    )
    def test_the_ledger_outlives_the_session_whose_open_calls_are_closed_with_it(
        self,
        alone: Manager,
        execute: Execute,
        clock: ManualClock,
        go: Callable[[Manager, str], object],
        reason: str,
    ) -> None:
        run, studio = begin(alone), Studio()
        for number in (1, 2):
            buy(run, studio, number)
        run.add_scene(a_scene(1))
        run.release()
        clock.advance(**A_MOMENT)
        alone.create_session(a_request())
        clock.advance(**A_MOMENT)

        go(alone, run.session_id)

        assert alone.get_session(run.session_id) is None
        rows = in_the_books(execute, ProviderCallRow.scene_number, ProviderCallRow.reason, ProviderCallRow.job_id)
        assert sorted(rows) == [("abandoned", 2, f"its session was {reason}", "job-2"), ("stored", 1, None, "job-1")]

    def test_a_session_made_again_under_the_same_id_finds_no_calls_of_the_old_one(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        buy(run, studio)
        manager.remove_session(run.session_id)
        manager.create_session(a_request(), session_id=run.session_id)
        again = manager.track(run.session_id, "gpu-2")
        assert again.open_calls() == []

        buy(again, studio)

        assert len(studio.sent) == 2

    def test_closed_calls_go_with_the_tombstones_and_open_ones_stay(
        self, open_manager: OpenManager, execute: Execute, clock: ManualClock
    ) -> None:
        manager = open_manager(tombstone_retention_days=2, recovery_interval=None)
        run, studio = begin(manager), Studio()
        for number in (1, 2):
            buy(run, studio, number)
        run.add_scene(a_scene(1))
        clock.advance(days=2)
        assert wait_for_cleanup(manager, PATIENCE_SECONDS)
        assert sorted(in_the_books(execute)) == ["fetched", "stored"]
        clock.advance(**A_MOMENT)

        assert wait_for_cleanup(manager, PATIENCE_SECONDS)

        assert in_the_books(execute) == ["fetched"]
        assert saved(manager, run.session_id).status is GenerationStatus.PROCESSING
        del run

    def test_a_call_says_which_attempt_began_it(self, manager: Manager, execute: Execute) -> None:
        run = begin(manager)
        run.release()

        buy(claim(manager), Studio())

        assert execute(select(ProviderCallRow.attempt)) == [(2,)]
