"""Cancelling sessions and putting finished ones back: what each status answers, and what stays of the scenes."""

from typing import Any

import pytest
from sqlalchemy import select

from sessionstore.errors import CallHeldError
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import ProviderCallRow, RunRow, SessionRow, SetAsideRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    Execute,
    Manager,
    a_request,
    a_scene,
    create_in_status,
    listen,
    saved,
    scene_numbers,
)
from sessionstore.testing.contract.studio import RESULT, Studio, buy, in_the_books, raising
from sessionstore.testing.contract.tracking import A_MOMENT, Run, TrackingGroup, begin, claim, everything

UNFINISHED = ["pending", "processing", "downloading"]


def leave_open(run: Run, studio: Studio, state: str, scene_number: int) -> None:
    """A paid call for the scene that comes as far as `state`, and no further."""
    if state == "submitted":
        studio.on_fetch = raising(ConnectionError("no answer"))
    elif state != "fetched":
        studio.on_submit = raising(TimeoutError("no answer"))
    if state == "fetched":
        buy(run, studio, scene_number)
    else:
        with pytest.raises((OSError, CallHeldError)):
            buy(run, studio, scene_number, is_repeatable=state == "intended")
    studio.on_submit = studio.on_fetch = lambda: None


class PuttingBackContract(TrackingGroup):
    """`cancel_session` and `retry_session`."""

    @pytest.mark.parametrize("status", UNFINISHED)
    def test_what_is_not_finished_can_be_cancelled(self, manager: Manager, clock: ManualClock, status: str) -> None:
        session_id = create_in_status(manager, status)
        heard = listen(manager, "cancelled")
        clock.advance(**A_MOMENT)

        assert manager.cancel_session(session_id) is True

        session = saved(manager, session_id)
        assert (session.status, session.finished_at) == (GenerationStatus.CANCELLED, clock.now)
        assert [call.session_id for call in heard] == [session_id]
        assert manager.claim_next_session("gpu-1") is None

    @pytest.mark.parametrize(("status", "answer"), [("cancelled", True), ("completed", False), ("failed", False)])
    def test_what_is_finished_is_left_as_it_is_by_a_cancellation(
        self, manager: Manager, execute: Execute, status: str, answer: bool
    ) -> None:
        session_id = create_in_status(manager, status)
        before = everything(execute)

        assert manager.cancel_session(session_id) is answer

        assert everything(execute) == before

    def test_an_absent_session_can_neither_be_cancelled_nor_retried(self, manager: Manager) -> None:
        assert manager.cancel_session("nobody") is False
        assert manager.retry_session("nobody") is False
        assert manager.retry_session("nobody", [1]) is False

    def test_a_cancellation_ends_the_run_that_there_is(self, manager: Manager, execute: Execute) -> None:
        run = begin(manager)

        assert manager.cancel_session(run.session_id) is True

        assert execute(select(RunRow.outcome)) == [("cancelled",)]

    @pytest.mark.parametrize("scenes", [None, []])
    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_a_session_that_came_to_nothing_can_be_tried_again_with_what_it_has(
        self, manager: Manager, execute: Execute, status: str, scenes: list[int] | None
    ) -> None:
        run = begin(manager, num_scenes=2)
        run.add_scene(a_scene(2))
        manager.update_session_status(run.session_id, status, "no paint")

        assert manager.retry_session(run.session_id, scenes) is True

        session = saved(manager, run.session_id)
        assert (session.status, session.error_message, session.finished_at) == (GenerationStatus.PENDING, None, None)
        assert session.scenes == [a_scene(2)]
        assert execute(select(SessionRow.generation_ms)) == [(None,)]
        again = claim(manager)
        assert (again.attempt, again.pending_scene_numbers()) == (2, [1])

    @pytest.mark.parametrize("scenes", [None, [], ()])
    def test_a_completed_session_has_nothing_to_try_again(
        self, manager: Manager, execute: Execute, scenes: Any
    ) -> None:
        session_id = create_in_status(manager, "completed")
        before = everything(execute)

        assert manager.retry_session(session_id, scenes) is False

        assert everything(execute) == before

    @pytest.mark.parametrize("scenes", [None, [1]])
    @pytest.mark.parametrize("status", UNFINISHED)
    def test_what_is_not_finished_cannot_be_tried_again(
        self, manager: Manager, execute: Execute, status: str, scenes: list[int] | None
    ) -> None:
        session_id = create_in_status(manager, status)
        manager.add_scene_to_session(session_id, a_scene(1))
        before = everything(execute)

        assert manager.retry_session(session_id, scenes) is False

        assert everything(execute) == before

    def test_a_retry_takes_no_session_from_its_worker(self, manager: Manager) -> None:
        run = begin(manager)

        assert manager.retry_session(run.session_id, [1]) is False

        run.add_scene(a_scene(1))

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    def test_scenes_that_are_to_be_made_again_are_set_aside_and_not_lost(
        self, manager: Manager, execute: Execute, clock: ManualClock, status: str
    ) -> None:
        session_id = manager.create_session(a_request(num_scenes=3))
        manager.set_session_scenes(session_id, [a_scene(number, title=f"Draft {number}") for number in (1, 2, 3)])
        manager.update_session_status(session_id, status)
        clock.advance(**A_MOMENT)

        assert manager.retry_session(session_id, [3, 1, 3]) is True

        assert scene_numbers(manager, session_id) == [2]
        rows = execute(select(SetAsideRow.session_id, SetAsideRow.part, SetAsideRow.set_aside_at, SetAsideRow.content))
        assert {row[:3] for row in rows} == {(session_id, f"scene {number}", clock.now) for number in (1, 3)}
        assert sorted("Draft 1" in row.content or "Draft 3" in row.content for row in rows) == [True, True]
        run = claim(manager)
        assert run.pending_scene_numbers() == [1, 3]
        run.add_scene(a_scene(1, title="Final 1"))
        assert [scene.title for scene in saved(manager, session_id).scenes] == ["Draft 2", "Final 1"]

    def test_a_completed_session_can_be_put_back_for_scenes_that_it_never_had(
        self, manager: Manager, execute: Execute
    ) -> None:
        session_id = create_in_status(manager, "completed")

        assert manager.retry_session(session_id, iter([4])) is True

        assert saved(manager, session_id).status is GenerationStatus.PENDING
        assert execute(select(SetAsideRow.part)) == []

    @pytest.mark.parametrize("state", ["intended", "submitted", "fetched", "held"])
    def test_what_was_bought_for_a_scene_that_is_to_be_made_again_is_abandoned_and_it_is_bought_again(
        self, manager: Manager, execute: Execute, state: str
    ) -> None:
        run, studio = begin(manager), Studio()
        for number in (1, 2):
            leave_open(run, studio, state, number)
        run.fail("not the right fox")
        assert in_the_books(execute) == [state, state]

        assert manager.retry_session(run.session_id, [1])

        numbered = (ProviderCallRow.scene_number, ProviderCallRow.reason)
        assert sorted(in_the_books(execute, *numbered))[0] == (
            "abandoned",
            1,
            "made again at the request of retry_session",
        )
        assert [call.scene_number for call in claim(manager).open_calls()] == [2]
        manager.update_session_status(run.session_id, "pending")
        assert buy(claim(manager), studio, is_repeatable=state == "intended") == RESULT
        assert len(studio.sent) == 3
        assert len(set(studio.keys)) == len(studio.keys)
        assert sorted(in_the_books(execute)) == sorted(["abandoned", state, "fetched"])

    def test_a_held_call_of_a_scene_that_is_to_be_made_again_waits_for_nobody_any_more(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        leave_open(run, studio, "held", 1)
        run.fail("not the right fox")

        assert manager.retry_session(run.session_id, [1])

        assert manager.list_held_calls() == []

    def test_a_retry_without_scenes_goes_on_with_what_was_bought(self, manager: Manager) -> None:
        run, studio = begin(manager), Studio()
        buy(run, studio)
        run.fail("no paint")

        assert manager.retry_session(run.session_id)

        assert buy(claim(manager), studio) == RESULT
        assert len(studio.sent) == 1

    @pytest.mark.parametrize("scenes", [[0], [4], [1, 4], [1, 2**31 - 1]])
    @pytest.mark.parametrize("status", ["completed", "failed"])
    def test_a_scene_that_neither_is_there_nor_was_asked_for_cannot_be_made_again(
        self, manager: Manager, execute: Execute, status: str, scenes: list[int]
    ) -> None:
        run = begin(manager, num_scenes=3)
        buy(run, Studio())
        buy(run, Studio(), 2)
        run.add_scene(a_scene(1))
        manager.update_session_status(run.session_id, status)
        before = everything(execute)

        with pytest.raises(ValueError, match=f"has no scene {scenes[-1]}, and asks for 1 to 3"):
            manager.retry_session(run.session_id, scenes)

        assert everything(execute) == before

    @pytest.mark.parametrize("number", [0, 9])
    def test_a_saved_scene_of_any_number_can_be_made_again(self, manager: Manager, number: int) -> None:
        session_id = manager.create_session(a_request(num_scenes=3))
        manager.add_scene_to_session(session_id, a_scene(number))
        manager.update_session_status(session_id, "completed")

        assert manager.retry_session(session_id, [number])

        assert scene_numbers(manager, session_id) == []

    def test_a_retry_that_is_undone_gives_the_scenes_back(self, manager: Manager, execute: Execute) -> None:
        session_id = create_in_status(manager, "completed")
        manager.add_scene_to_session(session_id, a_scene(1))

        def work() -> None:
            with manager.transaction():
                assert manager.retry_session(session_id, [1])
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert scene_numbers(manager, session_id) == [1]
        assert execute(select(SetAsideRow.part)) == []

    def test_a_retried_session_stands_in_the_queue_by_its_age(self, manager: Manager, clock: ManualClock) -> None:
        old = create_in_status(manager, "failed")
        clock.advance(**A_MOMENT)
        young = manager.create_session(a_request())

        manager.retry_session(old)

        assert [claim(manager).session_id, claim(manager).session_id] == [old, young]
