"""The ledger of paid calls: every step is committed before the next one, and no crash makes anybody pay twice."""

import pytest
from sqlalchemy import select, update

from sessionstore.errors import (
    CallHeldError,
    CallNotSentError,
    JobFailedError,
    SessionCancelledError,
)
from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.providers import STILL_RUNNING, CallPolicy, CallState
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    Execute,
    Manager,
    a_scene,
    scene_numbers,
)
from sessionstore.testing.contract.studio import REQUEST, RESULT, Studio, buy, in_the_books, interrupt, raising
from sessionstore.testing.contract.tracking import A_MOMENT, TrackingGroup, begin, claim


class LedgerContract(TrackingGroup):
    """`GenerationRun.call` and `open_calls`."""

    def test_each_step_is_committed_before_the_next_one_is_taken(
        self, manager: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        run, studio, seen = begin(manager), Studio(), []

        def look() -> None:
            seen.extend(in_the_books(execute, ProviderCallRow.job_id, ProviderCallRow.result))
            clock.advance(**A_MOMENT)

        studio.on_submit = studio.on_fetch = look
        result = buy(run, studio)
        look()
        run.add_scene(a_scene(1))
        look()

        assert result == RESULT
        assert [row[:2] for row in seen] == [
            ("intended", None),
            ("submitted", "job-1"),
            ("fetched", "job-1"),
            ("stored", "job-1"),
        ]
        assert [row.result is None for row in seen] == [True, True, False, False]
        columns = (getattr(ProviderCallRow, f"{step}_at") for step in ("intended", "submitted", "fetched", "closed"))
        (instants,) = execute(select(*columns))
        assert [(each - instants[0]).total_seconds() for each in instants] == [0, 1, 2, 3]

    def test_a_scene_and_the_end_of_its_call_are_kept_together_or_not_at_all(
        self, manager: Manager, execute: Execute
    ) -> None:
        run = begin(manager)
        buy(run, Studio())

        def work() -> None:
            with run.transaction():
                run.add_scene(a_scene(1))
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert (in_the_books(execute), scene_numbers(manager, run.session_id)) == (["fetched"], [])

    def test_a_scene_ends_only_its_own_calls(self, manager: Manager, execute: Execute) -> None:
        run, other, studio = begin(manager), begin(manager), Studio()
        for number in (1, 2):
            buy(run, studio, number)
        buy(run, studio, 1, name="sound studio")
        buy(other, studio, 1)

        run.add_scene(a_scene(1))

        rows = in_the_books(execute, ProviderCallRow.session_id, ProviderCallRow.scene_number)
        assert sorted(row[0] for row in rows if row[1:] == (run.session_id, 1)) == ["stored", "stored"]
        assert [row[0] for row in rows if row[1:] != (run.session_id, 1)] == ["fetched", "fetched"]

    def test_a_call_that_is_repeated_buys_nothing(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()

        assert [buy(run, studio) for _ in range(3)] == [RESULT] * 3

        assert (studio.sent, studio.asked) == ([REQUEST], ["job-1"])

    def test_a_scene_that_is_to_be_made_again_is_bought_again(self, manager: Manager, execute: Execute) -> None:
        with begin(manager) as run:
            buy(run, studio := Studio())
            run.add_scene(a_scene(1))
        manager.retry_session(run.session_id, [1])

        buy(claim(manager), studio)

        assert len(studio.sent) == 2
        assert sorted(in_the_books(execute, ProviderCallRow.attempt)) == [("fetched", 2), ("stored", 1)]

    def test_a_job_that_is_running_is_asked_for_until_there_is_a_result(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        studio.results = [STILL_RUNNING, STILL_RUNNING, "done"]

        assert buy(run, studio) == "done"

        assert (len(studio.sent), studio.asked) == (1, ["job-1"] * 3)

    def test_a_cancellation_ends_the_wait_for_a_result(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        studio.results = [STILL_RUNNING] * 1000
        studio.on_fetch = lambda: manager.cancel_session(run.session_id)

        with pytest.raises(SessionCancelledError):
            buy(run, studio)

        assert studio.asked == ["job-1"]

    def test_a_request_to_stop_ends_a_long_wait_for_a_result_at_once(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        studio.results = [STILL_RUNNING] * 1000
        studio.on_fetch = run.request_stop

        with pytest.raises(SystemExit):
            buy(run, studio, poll_seconds=100 * PATIENCE_SECONDS)

        assert studio.asked == ["job-1"]

    # Resuming

    def test_a_result_that_was_not_stored_is_stored_without_asking_again(self, manager: Manager) -> None:
        studio = Studio()
        interrupt(manager, studio)
        run = claim(manager, "gpu-2")
        (left,) = run.open_calls()
        assert (left.state, left.policy, left.result) == (CallState.FETCHED, CallPolicy.STORE, RESULT)

        assert buy(run, studio) == RESULT

        assert (len(studio.sent), studio.asked) == (1, ["job-1"])
        run.add_scene(a_scene(1))
        assert run.open_calls() == []

    def test_a_job_that_was_submitted_is_asked_for_and_not_submitted_again(
        self, manager: Manager, execute: Execute
    ) -> None:
        studio = Studio()
        studio.on_fetch = raising(KeyboardInterrupt())
        interrupt(manager, studio)
        run = claim(manager, "gpu-2")
        (left,) = run.open_calls()
        assert (left.state, left.policy, left.job_id) == (CallState.SUBMITTED, CallPolicy.POLL, "job-1")

        assert buy(run, studio) == RESULT

        assert (len(studio.sent), studio.asked) == (1, ["job-1", "job-1"])
        assert in_the_books(execute, ProviderCallRow.attempt) == [("fetched", 1)]

    def test_a_repeatable_provider_is_sent_the_same_request_under_the_same_key(self, manager: Manager) -> None:
        studio = Studio()
        studio.on_submit = raising(KeyboardInterrupt())
        interrupt(manager, studio, is_repeatable=True)
        run = claim(manager, "gpu-2")
        (left,) = run.open_calls()
        assert (left.state, left.policy) == (CallState.INTENDED, CallPolicy.RETRY)

        run.call(studio.provider(is_repeatable=True), 1, {"prompt": "another one"})

        assert studio.sent == [REQUEST, REQUEST]
        assert studio.keys == [left.call_id, left.call_id]

    @pytest.mark.parametrize("error", [TimeoutError("no answer"), OSError("reset"), LookupError()], ids=repr)
    def test_an_error_of_a_repeatable_provider_leaves_the_call_to_be_repeated(
        self, manager: Manager, execute: Execute, error: Exception
    ) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = raising(error)
        with pytest.raises(type(error)) as caught:
            buy(run, studio, is_repeatable=True)
        assert caught.value is error
        assert in_the_books(execute) == ["intended"]
        studio.on_submit = lambda: None

        assert buy(run, studio, is_repeatable=True) == RESULT

        assert len(set(studio.keys)) == 1

    def test_a_call_of_which_only_the_intention_is_known_is_held_and_not_made_again(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio = begin(manager), Studio()
        buy(run, studio)
        execute(
            update(ProviderCallRow).values(state="intended", checksum=None, job_id=None, submitted_at=None, result=None)
        )
        (left,) = run.open_calls()
        assert left.policy is CallPolicy.HOLD

        with pytest.raises(CallHeldError, match="its worker stopped when the request may have been on its way"):
            buy(run, studio)

        assert len(studio.sent) == 1
        assert in_the_books(execute) == ["held"]

    def test_an_interruption_while_a_request_is_sent_holds_the_call(self, manager: Manager, execute: Execute) -> None:
        studio = Studio()
        studio.on_submit = raising(KeyboardInterrupt())
        interrupt(manager, studio)
        assert in_the_books(execute) == ["held"]

        with pytest.raises(CallHeldError):
            buy(claim(manager, "gpu-2"), studio)

        assert len(studio.sent) == 1

    # What providers say

    @pytest.mark.parametrize("error", [CallNotSentError("quota"), ConnectionRefusedError("nobody there")], ids=repr)
    @pytest.mark.parametrize("is_repeatable", [False, True])
    def test_a_request_that_was_not_accepted_may_be_sent_again(
        self, manager: Manager, execute: Execute, error: Exception, is_repeatable: bool
    ) -> None:
        run, studio = begin(manager), Studio()
        studio.on_submit = raising(error)
        with pytest.raises(type(error)) as caught:
            buy(run, studio, is_repeatable=is_repeatable)
        assert caught.value is error
        (row,) = in_the_books(execute, ProviderCallRow.reason)
        assert row == ("not_sent", f"{type(error).__name__}: {error}")
        studio.on_submit = lambda: None

        assert buy(run, studio, is_repeatable=is_repeatable) == RESULT

        assert sorted(in_the_books(execute)) == ["fetched", "not_sent"]

    def test_a_job_that_has_failed_is_submitted_anew(self, manager: Manager, execute: Execute) -> None:
        run, studio = begin(manager), Studio()
        studio.on_fetch = raising(JobFailedError("out of paint"))
        with pytest.raises(JobFailedError, match="out of paint"):
            buy(run, studio)
        assert in_the_books(execute, ProviderCallRow.reason) == [("failed", "JobFailedError: out of paint")]
        studio.on_fetch = lambda: None

        assert buy(run, studio) == RESULT

        assert studio.asked == ["job-1", "job-2"]

    def test_an_error_while_a_result_is_asked_for_leaves_the_job_to_be_asked_again(
        self, manager: Manager, execute: Execute
    ) -> None:
        run, studio, error = begin(manager), Studio(), TimeoutError("no answer")
        studio.on_fetch = raising(error)
        with pytest.raises(TimeoutError) as caught:
            buy(run, studio)
        assert caught.value is error
        assert in_the_books(execute) == ["submitted"]
        studio.on_fetch = lambda: None

        assert buy(run, studio) == RESULT

        assert (len(studio.sent), studio.asked) == (1, ["job-1", "job-1"])
