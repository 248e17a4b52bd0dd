"""The end of a run, by its own methods or with its manager, and what is left to do until then."""

import threading
from collections.abc import Callable

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from sessionstore.errors import (
    LeaseLostError,
    ManagerClosedError,
    SessionManagerError,
)
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import RunRow
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    saved,
)
from sessionstore.testing.contract.tracking import Run, TrackingGroup, begin, claim, everything

ENDS = pytest.mark.parametrize(
    ("end", "status", "message"),
    [
        (lambda run: run.complete(), "completed", None),
        (lambda run: run.fail("no paint"), "failed", "no paint"),
        (lambda run: run.release(), "pending", None),
    ],
    ids=["complete", "fail", "release"],
)


class SongRequest(BaseModel):
    """A request of another kind, without `num_scenes`."""

    verses: int


class EndsContract(TrackingGroup):
    """`complete`, `fail`, `release`, `request_stop`, `pending_scene_numbers`, and `shutdown` meanwhile."""

    @ENDS
    def test_an_end_may_be_repeated_and_does_nothing_the_second_time(
        self, manager: Manager, execute: Execute, end: Callable[[Run], None], status: str, message: str | None
    ) -> None:
        run = begin(manager)
        end(run)
        before = everything(execute)

        end(run)

        assert everything(execute) == before
        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (status, message)

    def test_an_end_that_is_repeated_after_the_next_claim_does_not_touch_it(self, manager: Manager) -> None:
        run = begin(manager)
        run.release()
        owner = claim(manager, "gpu-2")

        run.release()

        owner.add_scene(a_scene(1))

    def test_another_end_than_the_first_one_is_refused(self, manager: Manager, execute: Execute) -> None:
        run = begin(manager)
        run.complete()
        before = everything(execute)

        for end in (run.release, lambda: run.fail("no paint")):
            with pytest.raises(LeaseLostError, match="attempt 1 has ended, completed"):
                end()

        assert everything(execute) == before

    def test_a_released_session_keeps_its_scenes_and_can_be_claimed_at_once(self, manager: Manager) -> None:
        run = begin(manager, num_scenes=3)
        run.add_scene(a_scene(2))
        run.release()

        assert claim(manager, "gpu-2").pending_scene_numbers() == [1, 3]

    def test_a_run_that_is_asked_to_stop_does_so_after_its_next_write(self, manager: Manager) -> None:
        run = begin(manager)
        run.request_stop()

        with pytest.raises(SystemExit), run:
            run.add_scene(a_scene(1))

        session = saved(manager, run.session_id)
        assert (session.status, session.scenes) == (GenerationStatus.PENDING, [a_scene(1)])

    # Not inside a transaction, which might be undone

    @ENDS
    @pytest.mark.parametrize("opened_by", ["manager", "run"])
    def test_a_run_cannot_end_inside_a_transaction_and_goes_on_as_it_was(
        self,
        manager: Manager,
        execute: Execute,
        opened_by: str,
        end: Callable[[Run], None],
        status: str,
        message: str | None,
    ) -> None:
        run = begin(manager)
        before = everything(execute)

        with (
            run.transaction() if opened_by == "run" else manager.transaction(),
            pytest.raises(SessionManagerError, match="cannot end inside a transaction"),
        ):
            end(run)

        assert everything(execute) == before
        assert not run.has_ended
        run.add_scene(a_scene(1))
        end(run)
        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (status, message)

    @pytest.mark.parametrize("error", [None, LookupError("no paint"), KeyboardInterrupt()], ids=repr)
    def test_a_block_that_ends_inside_a_transaction_gives_its_session_back_after_it(
        self, manager: Manager, execute: Execute, error: BaseException | None
    ) -> None:
        run, changed = begin(manager), threading.Event()
        manager.register_session_callback("status_changed", lambda *_: changed.set())

        def work() -> None:
            with manager.transaction(), run:
                run.add_scene(a_scene(1))
                if error is not None:
                    raise error

        with pytest.raises(SessionManagerError if error is None else type(error)) as caught:
            work()

        assert error in (None, caught.value)
        assert changed.wait(PATIENCE_SECONDS)
        session = saved(manager, run.session_id)
        assert (session.status, session.error_message, session.scenes) == (GenerationStatus.PENDING, None, [])
        assert execute(select(RunRow.outcome)) == [("released",)]

    # What is left to do

    def test_pending_are_the_numbers_without_a_saved_scene(self, manager: Manager) -> None:
        run = begin(manager, num_scenes=4)
        assert run.pending_scene_numbers() == [1, 2, 3, 4]
        for number in (3, 0, 1, 9):
            run.add_scene(a_scene(number))

        assert run.pending_scene_numbers() == [2, 4]

    def test_a_request_without_a_number_of_scenes_has_no_pending_ones(self, open_manager: OpenManager) -> None:
        manager = open_manager(request_model=SongRequest)
        session_id = manager.create_session(SongRequest(verses=2))
        run = manager.track(session_id, "gpu-1")

        with pytest.raises(ValueError, match="has no num_scenes"):
            run.pending_scene_numbers()

        run.add_scene(a_scene(1))
        run.complete()
        assert saved(manager, session_id).request_data == SongRequest(verses=2)

    # The manager closes

    def test_a_shutdown_gives_sessions_back_and_another_manager_can_claim_them_at_once(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        manager, other = open_manager(), open_manager()
        runs = [begin(manager) for _ in range(3)]
        runs[0].add_scene(a_scene(1))

        assert manager.shutdown()

        again = [claim(other, "gpu-2") for _ in runs]
        assert sorted(run.session_id for run in again) == sorted(run.session_id for run in runs)
        assert {run.attempt for run in again} == {2}
        assert saved(other, runs[0].session_id).scenes == [a_scene(1)]
        assert execute(select(RunRow.outcome).where(RunRow.attempt == 1)) == [("released",)] * 3

    def test_a_run_of_a_manager_that_was_shut_down_is_refused(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        run = begin(manager)
        manager.shutdown()

        with pytest.raises(ManagerClosedError), run:
            run.add_scene(a_scene(1))

        assert saved(open_manager(), run.session_id).status is GenerationStatus.PENDING

    def test_a_shutdown_leaves_sessions_of_other_managers_runs_alone(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        run = begin(other)

        manager.shutdown()

        run.add_scene(a_scene(1))

    def test_a_run_that_has_ended_is_not_given_back_by_a_shutdown(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        run = begin(manager)
        run.complete()

        manager.shutdown()

        assert saved(open_manager(), run.session_id).status is GenerationStatus.COMPLETED

    def test_new_requests_can_be_made_while_a_run_is_on(self, manager: Manager) -> None:
        with begin(manager):
            sequel = manager.create_session(a_request())

        assert saved(manager, sequel).status is GenerationStatus.PENDING
