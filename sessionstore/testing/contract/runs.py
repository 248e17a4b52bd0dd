"""The block of a run: what leaving it does to the session, whatever it is left by."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select

from sessionstore.errors import (
    CallHeldError,
    DatabaseUnavailableError,
    SessionCancelledError,
    SessionLockError,
)
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import RunRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    listen,
    lock_held_elsewhere,
    saved,
)
from sessionstore.testing.contract.studio import Studio, buy, raising
from sessionstore.testing.contract.tracking import A_MOMENT, Run, TrackingGroup, begin, claim, everything

MESSAGES = [
    pytest.param("no paint", "no paint", id="a text"),
    pytest.param("", "ValueError", id="empty"),
    pytest.param(" \n", "ValueError", id="blank"),
    pytest.param("half\0way", "half\\0way", id="nul"),
    pytest.param("odd \ud800 one", "odd \\ud800 one", id="lone surrogate"),
    pytest.param("ä" * 100_000, "ä" * 2000, id="very long"),
    pytest.param("\ud800" * 100_000, ("\\ud800" * 400)[:2000], id="very long and odd"),
]


class BadlyMadeError(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise LookupError("no message")


def raise_in(run: Run, error: BaseException) -> None:
    """Leaves the block of `run` by `error`."""
    with run:
        raise error


def held_and_decided(manager: Manager, run: Run) -> CallHeldError:
    """What a call raises that is held, and of which a person has found out meanwhile that it was made."""
    studio = Studio()
    studio.on_submit = raising(TimeoutError("no answer"))
    with pytest.raises(CallHeldError) as caught:
        buy(run, studio)
    assert manager.attach_job(caught.value.call_id, "job-1")
    return caught.value


class RunsContract(TrackingGroup):
    """`GenerationRun` as a context manager."""

    # The block

    def test_leaving_the_block_completes_the_session(
        self, manager: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        heard = listen(manager, "completed")
        with begin(manager) as run:
            run.add_scene(a_scene(1))
            clock.advance(**A_MOMENT)

        session = saved(manager, run.session_id)
        assert (session.status, session.finished_at) == (GenerationStatus.COMPLETED, clock.now)
        assert execute(select(RunRow.outcome, RunRow.ended_at)) == [("completed", clock.now)]
        assert [call.session_id for call in heard] == [run.session_id]

    @pytest.mark.parametrize(("text", "message"), MESSAGES)
    def test_an_exception_fails_the_session_with_its_message(self, manager: Manager, text: str, message: str) -> None:
        run, error = begin(manager), ValueError(text)

        with pytest.raises(ValueError) as caught:  # noqa: PT011 - it is looked at
            raise_in(run, error)

        session = saved(manager, run.session_id)
        assert caught.value is error
        assert (session.status, session.error_message) == (GenerationStatus.FAILED, message)

    def test_an_exception_that_cannot_tell_its_message_fails_the_session_too(self, manager: Manager) -> None:
        run, error = begin(manager), BadlyMadeError()

        with pytest.raises(BadlyMadeError) as caught:
            raise_in(run, error)

        assert caught.value is error
        assert saved(manager, run.session_id).status is GenerationStatus.FAILED

    def test_a_message_beyond_the_largest_payload_fails_the_session_too(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_payload_bytes=1024)
        run, error = begin(manager), LookupError("x" * 5000)

        with pytest.raises(LookupError) as caught:
            raise_in(run, error)

        session = saved(manager, run.session_id)
        assert caught.value is error
        assert session.status is GenerationStatus.FAILED
        assert (session.error_message or "").startswith("xxx")

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()], ids=repr)
    def test_what_is_no_exception_gives_the_session_back(
        self, manager: Manager, execute: Execute, error: BaseException
    ) -> None:
        run = begin(manager)
        run.add_scene(a_scene(1))

        with pytest.raises(type(error)):
            raise_in(run, error)

        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (GenerationStatus.PENDING, None)
        assert session.scenes == [a_scene(1)]
        assert execute(select(RunRow.outcome)) == [("released",)]
        assert claim(manager).attempt == 2

    def test_a_session_whose_held_call_was_decided_before_it_had_failed_is_given_back(self, manager: Manager) -> None:
        run = begin(manager)
        error = held_and_decided(manager, run)

        with pytest.raises(CallHeldError) as caught:
            raise_in(run, error)

        assert caught.value is error
        assert saved(manager, run.session_id).status is GenerationStatus.PENDING

    def test_so_is_one_whose_generator_raised_an_error_of_its_own_from_that_of_the_call(self, manager: Manager) -> None:
        run = begin(manager)
        middle, error = RuntimeError("no picture"), ValueError("no scene")
        middle.__cause__, error.__cause__ = held_and_decided(manager, run), middle

        with pytest.raises(ValueError, match="no scene"):
            raise_in(run, error)

        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (GenerationStatus.PENDING, None)

    def test_an_error_that_only_happened_while_a_held_call_was_handled_fails_the_session(
        self, manager: Manager
    ) -> None:
        run = begin(manager)
        error = LookupError("no paint")
        error.__context__ = held_and_decided(manager, run)

        with pytest.raises(LookupError):
            raise_in(run, error)

        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (GenerationStatus.FAILED, "no paint")

    def test_causes_that_go_round_in_a_circle_fail_the_session(self, manager: Manager) -> None:
        run = begin(manager)
        one, other = LookupError("no paint"), ValueError("no brush")
        one.__cause__, other.__cause__ = other, one

        with pytest.raises(LookupError):
            raise_in(run, one)

        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (GenerationStatus.FAILED, "no paint")

    @pytest.mark.parametrize("error", [DatabaseUnavailableError("away"), SessionLockError("busy")], ids=repr)
    def test_a_failure_of_the_store_is_no_failure_of_the_session(self, manager: Manager, error: Exception) -> None:
        run = begin(manager)

        with pytest.raises(type(error)):
            raise_in(run, error)

        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (GenerationStatus.PENDING, None)

    @pytest.mark.parametrize("error", [LookupError("no paint"), KeyboardInterrupt()], ids=repr)
    def test_a_session_whose_end_could_not_be_written_is_given_back_later(
        self, open_manager: OpenManager, error: BaseException
    ) -> None:
        manager, other = open_manager(lock_timeout=0.2, recovery_interval=None), open_manager(recovery_interval=None)
        run, returned = begin(manager), threading.Event()
        manager.register_session_callback("status_changed", lambda *_: returned.set())

        with lock_held_elsewhere(other, other.create_session(a_request())), pytest.raises(type(error)) as caught:
            raise_in(run, error)

        assert caught.value is error
        assert returned.wait(PATIENCE_SECONDS)
        session = saved(manager, run.session_id)
        assert (session.status, session.error_message) == (GenerationStatus.PENDING, None)

    def test_a_session_whose_completion_could_not_be_written_is_not_held_for_the_rest_of_its_lease(
        self, open_manager: OpenManager
    ) -> None:
        manager, other = open_manager(lock_timeout=0.2, recovery_interval=None), open_manager(recovery_interval=None)
        run, changed = begin(manager), threading.Event()
        manager.register_session_callback("status_changed", lambda *_: changed.set())

        with lock_held_elsewhere(other, other.create_session(a_request())), pytest.raises(SessionLockError), run:
            pass

        assert changed.wait(5)
        assert saved(manager, run.session_id).status in (GenerationStatus.PENDING, GenerationStatus.COMPLETED)

    def test_the_loss_of_another_session_is_no_loss_of_this_one(self, manager: Manager) -> None:
        other = begin(manager)
        manager.cancel_session(other.session_id)

        with pytest.raises(SessionCancelledError), begin(manager) as run:
            other.add_scene(a_scene(1))

        assert saved(manager, run.session_id).status is GenerationStatus.FAILED

    def test_an_exception_after_the_end_changes_nothing(self, manager: Manager, execute: Execute) -> None:
        run = begin(manager)
        run.complete()
        before = everything(execute)

        with pytest.raises(LookupError):
            raise_in(run, LookupError())

        assert everything(execute) == before

    @pytest.mark.parametrize("error", [LookupError("no paint"), KeyboardInterrupt()], ids=repr)
    def test_an_exception_in_a_run_that_lost_its_session_goes_on_as_it_is(
        self, manager: Manager, execute: Execute, error: BaseException
    ) -> None:
        run = begin(manager)
        manager.cancel_session(run.session_id)
        before = everything(execute)

        with pytest.raises(type(error)) as caught:
            raise_in(run, error)

        assert caught.value is error
        assert everything(execute) == before

    def test_leaving_the_block_of_a_cancelled_run_normally_says_so(self, manager: Manager) -> None:
        run = begin(manager)

        def work() -> None:
            with run:
                manager.cancel_session(run.session_id)

        with pytest.raises(SessionCancelledError):
            work()

        assert saved(manager, run.session_id).status is GenerationStatus.CANCELLED

    @pytest.mark.parametrize(
        ("end", "status"),
        [
            (lambda run: run.complete(), "completed"),
            (lambda run: run.fail("no paint"), "failed"),
            (lambda run: run.release(), "pending"),
        ],
        ids=["complete", "fail", "release"],
    )
    def test_an_end_inside_the_block_is_the_end(
        self, manager: Manager, end: Callable[[Run], None], status: str
    ) -> None:
        with begin(manager) as run:
            end(run)

        assert saved(manager, run.session_id).status == status
