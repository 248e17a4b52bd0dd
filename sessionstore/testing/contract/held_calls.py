"""Paid calls that wait for a person: how they come to be held, and what becomes of their session by the decision."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from sessionstore.errors import CallHeldError
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.providers import CallState, ProviderCall
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import Execute, Manager, saved
from sessionstore.testing.contract.studio import REQUEST, RESULT, Studio, buy, in_the_books, raising
from sessionstore.testing.contract.tracking import A_MOMENT, Run, TrackingGroup, begin, claim, everything

NO_JOB_IDS = [
    pytest.param("", id="empty"),
    pytest.param(" \n", id="blank"),
    pytest.param("job\0", id="nul"),
    pytest.param("job\ud800", id="lone surrogate"),
    pytest.param(None, id="none"),
    pytest.param(7, id="number"),
    pytest.param(b"job-1", id="bytes"),
    pytest.param("x" * 2_000_000, id="2 MB"),
]

Decide = Callable[[Manager, ProviderCall], bool]
DECISIONS: list[Decide] = [
    lambda manager, call: manager.attach_job(call.call_id, "job-9"),
    lambda manager, call: manager.allow_retry(call.call_id),
]
decisions = pytest.mark.parametrize("decide", DECISIONS, ids=["attach_job", "allow_retry"])


def hold(run: Run, studio: Studio, *scene_numbers: int) -> None:
    """The provider does not answer to these requests, and the run fails for it."""
    studio.on_submit = raising(TimeoutError("no answer"))
    for number in scene_numbers[:-1]:
        with pytest.raises(CallHeldError):
            buy(run, studio, number)
    with pytest.raises(CallHeldError), run:
        buy(run, studio, scene_numbers[-1])
    studio.on_submit = lambda: None


class HeldCallsContract(TrackingGroup):
    """`CallHeldError`, `list_held_calls`, `attach_job`, `allow_retry`."""

    def test_a_call_whose_request_may_have_been_accepted_is_held(self, manager: Manager, execute: Execute) -> None:
        run, studio, error = begin(manager), Studio(), TimeoutError("no answer")
        studio.on_submit = raising(error)

        with pytest.raises(CallHeldError, match="it is not known whether studio was paid") as caught:
            buy(run, studio, 3)

        (call,) = manager.list_held_calls()
        assert caught.value.__cause__ is error
        facts = (caught.value.session_id, caught.value.scene_number, caught.value.provider, caught.value.call_id)
        assert facts == (run.session_id, 3, "studio", call.call_id)
        assert call.call_id in str(caught.value)
        assert in_the_books(execute, ProviderCallRow.reason) == [
            ("held", "submit raised TimeoutError: no answer"),
        ]

    def test_a_held_call_is_not_made_again(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = raising(TimeoutError())

        for _ in range(3):
            with pytest.raises(CallHeldError):
                buy(run, studio)

        assert len(studio.sent) == 1

    @pytest.mark.parametrize("text", ["", "half\0way", "odd \ud800 one", "x" * 100_000, "ä" * 100_000], ids=len)
    def test_an_error_with_an_odd_message_holds_the_call_too(self, manager: Manager, text: str) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = raising(OSError(text))

        with pytest.raises(CallHeldError):
            buy(run, studio)

        assert len(manager.list_held_calls()) == 1

    @pytest.mark.parametrize("is_repeatable", [False, True])
    @pytest.mark.parametrize("job_id", NO_JOB_IDS)
    def test_an_answer_that_is_no_job_id_holds_the_call(
        self, manager: Manager, execute: Execute, job_id: Any, is_repeatable: bool
    ) -> None:
        run, studio = begin(manager), Studio()

        with pytest.raises(CallHeldError, match="submit returned no job id"):
            buy(run, studio, submit=lambda *_: job_id, is_repeatable=is_repeatable)

        assert in_the_books(execute, ProviderCallRow.job_id) == [("held", None)]

    def test_held_calls_are_listed_the_longest_held_first_with_all_that_is_known(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        studio, runs = Studio(), [begin(manager) for _ in range(3)]
        for run in reversed(runs):
            clock.advance(**A_MOMENT)
            hold(run, studio, 2)

        held = manager.list_held_calls()

        assert [call.session_id for call in held] == [run.session_id for run in reversed(runs)]
        last = held[-1]
        assert (last.state, last.scene_number, last.provider, last.request) == (CallState.HELD, 2, "studio", REQUEST)
        assert (last.held_at, last.intended_at, last.closed_at) == (clock.now, clock.now, None)
        assert last.reason == "submit raised TimeoutError: no answer"

    def test_calls_in_other_states_are_not_held(self, manager: Manager) -> None:
        buy(begin(manager), Studio())

        assert manager.list_held_calls() == []

    def test_a_session_with_a_held_call_fails_and_says_what_to_do(self, manager: Manager) -> None:
        run = begin(manager)
        hold(run, Studio(), 1)

        session = saved(manager, run.session_id)

        assert session.status is GenerationStatus.FAILED
        assert "attach_job() or allow_retry()" in (session.error_message or "")

    def test_an_attached_job_is_asked_for_and_nothing_is_sent(self, manager: Manager, execute: Execute) -> None:
        run, studio = begin(manager), Studio()
        hold(run, studio, 1)
        (call,) = manager.list_held_calls()

        assert manager.attach_job(call.call_id, "job-9") is True

        assert saved(manager, run.session_id).status is GenerationStatus.PENDING
        assert buy(claim(manager), studio) == RESULT
        assert (len(studio.sent), studio.asked) == (1, ["job-9"])
        assert in_the_books(execute, ProviderCallRow.call_id, ProviderCallRow.reason) == [
            ("fetched", call.call_id, None)
        ]

    def test_with_leave_a_held_call_is_made_again_as_a_new_one(self, manager: Manager, execute: Execute) -> None:
        run, studio = begin(manager), Studio()
        hold(run, studio, 1)
        (call,) = manager.list_held_calls()

        assert manager.allow_retry(call.call_id) is True

        assert saved(manager, run.session_id).status is GenerationStatus.PENDING
        assert buy(claim(manager), studio) == RESULT
        assert len(studio.sent) == 2
        states = dict(execute(select(ProviderCallRow.call_id, ProviderCallRow.state)))
        assert states.pop(call.call_id) == "not_sent"
        assert list(states.values()) == ["fetched"]

    def test_with_leave_a_held_call_is_sent_again_under_its_key_where_the_provider_takes_one(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = lambda: None

        def no_job_id(request: Any, key: str) -> Any:
            studio.keys.append(key)

        with pytest.raises(CallHeldError), run:
            buy(run, studio, submit=no_job_id, is_repeatable=True)
        (call,) = manager.list_held_calls()

        assert manager.allow_retry(call.call_id) is True

        assert saved(manager, run.session_id).status is GenerationStatus.PENDING
        assert manager.list_held_calls() == []
        assert buy(claim(manager), studio, is_repeatable=True) == RESULT
        assert studio.keys == [call.call_id, call.call_id]
        assert in_the_books(execute, ProviderCallRow.call_id) == [("fetched", call.call_id)]

    @decisions
    def test_a_decision_takes_the_call_from_the_list(self, manager: Manager, decide: Decide) -> None:
        hold(begin(manager), Studio(), 1)
        hold(begin(manager), Studio(), 1)
        first, second = manager.list_held_calls()

        assert decide(manager, first)

        assert manager.list_held_calls() == [second]

    @decisions
    def test_a_session_is_pending_again_only_with_its_last_held_call(self, manager: Manager, decide: Decide) -> None:
        run = begin(manager)
        hold(run, Studio(), 1, 2)
        first, second = manager.list_held_calls()

        assert decide(manager, first)
        assert saved(manager, run.session_id).status is GenerationStatus.FAILED
        assert decide(manager, second)

        assert saved(manager, run.session_id).status is GenerationStatus.PENDING

    @decisions
    def test_a_decision_is_taken_once(self, manager: Manager, execute: Execute, decide: Decide) -> None:
        hold(begin(manager), Studio(), 1)
        (call,) = manager.list_held_calls()
        assert decide(manager, call)
        before = everything(execute)

        for other in DECISIONS:
            assert other(manager, call) is False

        assert everything(execute) == before

    @decisions
    def test_nothing_is_to_be_decided_of_a_call_that_is_not_held_or_not_there(
        self, manager: Manager, execute: Execute, decide: Decide
    ) -> None:
        run = begin(manager)
        buy(run, Studio())
        (call,) = run.open_calls()
        before = everything(execute)

        assert decide(manager, call) is False
        assert decide(manager, call.model_copy(update={"call_id": "nothing"})) is False

        assert everything(execute) == before

    @decisions
    @pytest.mark.parametrize("status", ["cancelled", "completed", "pending"])
    def test_a_decision_changes_no_session_that_has_not_failed(
        self, manager: Manager, status: str, decide: Decide
    ) -> None:
        run = begin(manager)
        hold(run, Studio(), 1)
        manager.update_session_status(run.session_id, status)

        assert decide(manager, manager.list_held_calls()[0])

        assert saved(manager, run.session_id).status == status

    @decisions
    def test_a_run_that_goes_on_despite_a_held_call_keeps_its_session(self, manager: Manager, decide: Decide) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = raising(TimeoutError())
        with pytest.raises(CallHeldError):
            buy(run, studio)
        studio.on_submit = lambda: None

        assert decide(manager, manager.list_held_calls()[0])

        assert buy(run, studio) == RESULT

    def test_the_held_calls_of_a_session_that_is_removed_are_closed(self, manager: Manager, execute: Execute) -> None:
        run = begin(manager)
        hold(run, Studio(), 1)

        manager.remove_session(run.session_id)

        assert manager.list_held_calls() == []
        assert in_the_books(execute) == ["abandoned"]

    def test_a_retry_without_a_decision_does_not_send_the_request(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        hold(run, studio, 1)
        manager.retry_session(run.session_id)

        with pytest.raises(CallHeldError):
            buy(claim(manager), studio)

        assert len(studio.sent) == 1
