"""`register_session_callback(..., every_process=True)`: what is heard of other processes, once each and in order."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select, update

from sessionstore.errors import SessionManagerError
from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.operations import listening
from sessionstore.persistence.following import ChangeRepository, Tick
from sessionstore.persistence.tables import EventRow, SessionRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.callbacks import CHANGES, EVENT_TYPES
from sessionstore.testing.contract.following import until
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    at_once,
    create_in_status,
    saved,
)


class Told(NamedTuple):
    """One call of a callback."""

    event_type: str
    session_id: str
    session: GenerationSession[Any, Any] | None
    thread: str


def hear(manager: Manager, *event_types: str) -> list[Told]:
    """A list that grows by each callback of these types, whatever process it is told of."""
    heard: list[Told] = []

    def callback_for(event_type: str) -> Callable[[str, GenerationSession[Any, Any] | None], None]:
        return lambda session_id, session: heard.append(
            Told(event_type, session_id, session, threading.current_thread().name)
        )

    for event_type in event_types:
        manager.register_session_callback(event_type, callback_for(event_type), every_process=True)
    return heard


def step_of(session: GenerationSession[Any, Any] | None) -> int | None:
    return session.progress.current_step if session and session.progress else None


class EveryProcessContract(ContractGroup):
    """All changes since the registration, once each, in the order of the commits, on one thread."""

    @pytest.mark.parametrize(
        ("announced", "change"), CHANGES, ids=[f"{'-'.join(each[0])}-{n}" for n, each in enumerate(CHANGES)]
    )
    def test_each_change_of_another_process_is_told_as_what_it_is(
        self,
        open_manager: OpenManager,
        clock: ManualClock,
        announced: list[str],
        change: Callable[[Manager, str], object],
    ) -> None:
        manager, writer = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        clock.advance(seconds=1)
        if announced == ["evicted"]:
            manager.create_session(a_request())
        heard = hear(manager, *EVENT_TYPES)

        change(writer, session_id)
        until(lambda: len(heard) >= len(announced))
        last = writer.create_session(a_request())
        until(lambda: any(each.session_id == last for each in heard))

        assert [each.event_type for each in heard if each.session_id == session_id] == announced

    def test_the_session_is_told_as_it_stands_on_a_thread_of_its_own(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        heard = hear(manager, "created", "removed")

        session_id = other.create_session(a_request(), metadata={"n": 1})
        until(lambda: heard)
        stood = saved(manager, session_id)
        other.remove_session(session_id)
        until(lambda: len(heard) > 1)

        assert [each.session for each in heard] == [stood, None]
        assert {each.thread for each in heard} == {"sessionstore-callbacks"}

    def test_ticks_are_looked_at_a_few_times_a_second_and_the_last_one_is_told(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The last look is to follow by itself, and not because a failed one would be repeated.
        monkeypatch.setattr(listening, "RETRY_SECONDS", 3600.0)
        manager, other = open_manager(), open_manager(durability="normal")
        session_id = create_in_status(manager, "processing")
        looks, steps, ask = list[float](), list[int](), ChangeRepository.ticks

        def noted(changes: ChangeRepository) -> dict[str, Tick]:
            looks.append(time.monotonic())
            return ask(changes)

        def tick() -> bool:
            steps.append(len(steps) + 1)
            other.update_session_progress(session_id, steps[-1], 1_000_000, "drawing")
            return len(looks) > 4

        heard = hear(manager, "progress")
        monkeypatch.setattr(ChangeRepository, "ticks", noted)
        until(tick)
        until(lambda: heard and step_of(heard[-1].session) == steps[-1])

        between = [later - earlier for earlier, later in pairwise(looks)]
        assert min(between) > 0.9 * listening.TICKS_SECONDS

    def test_a_change_that_an_event_explains_is_no_tick_however_late_ticks_are_looked_at(
        self, open_manager: OpenManager
    ) -> None:
        manager, other = open_manager(), open_manager()
        first, second = (create_in_status(manager, "processing") for _ in range(2))
        heard = hear(manager, "progress", "scene_added")
        other.update_session_progress(first, 1, 2, "half")
        until(lambda: heard)

        # Right after a look, so that the next one is owed for a while.
        other.add_scene_to_session(second, a_scene(1))
        until(lambda: len(heard) > 1)
        other.update_session_progress(first, 2, 2, "done")
        until(lambda: len(heard) > 2)

        expected = [("progress", first), ("scene_added", second), ("progress", first)]
        assert [(each.event_type, each.session_id) for each in heard] == expected

    def test_what_was_committed_before_is_not_told_to_whoever_comes_later(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        other.create_session(a_request(), session_id="before")
        first = hear(manager, "created")
        other.create_session(a_request(), session_id="between")
        second = hear(manager, "created")
        other.create_session(a_request(), session_id="after")

        until(lambda: second and len(first) == 2)

        assert [each.session_id for each in first] == ["between", "after"]
        assert [each.session_id for each in second] == ["after"]

    def test_changes_of_all_writers_are_told_once_in_the_order_of_the_commits(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        manager, other = (open_manager(durability="normal") for _ in range(2))
        first, second = (create_in_status(manager, "processing") for _ in range(2))
        heard = hear(manager, "scene_added", "completed")
        local: list[str] = []
        manager.register_session_callback("scene_added", lambda session_id, _: local.append(session_id))

        def write(writer: Manager, session_id: str) -> None:
            for number in range(120):
                writer.add_scene_to_session(session_id, a_scene(number))
            writer.update_session_status(session_id, "completed")

        at_once(partial(write, manager, first), partial(write, other, second))
        until(lambda: [each.event_type for each in heard].count("completed") == 2)

        added = select(EventRow.session_id).where(EventRow.event_type == "scene_added").order_by(EventRow.event_id)
        recorded = [session_id for (session_id,) in execute(added)]
        assert [each.session_id for each in heard if each.event_type == "scene_added"] == recorded
        assert (len(recorded), local) == (240, [first] * 120)

    def test_what_another_process_undoes_is_not_told(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        heard = hear(manager, "created")

        def undo() -> None:
            with other.transaction():
                other.create_session(a_request(), session_id="undone")
                raise LookupError("never mind")

        with pytest.raises(LookupError):
            undo()
        other.create_session(a_request(), session_id="done")
        until(lambda: heard)

        assert [each.session_id for each in heard] == ["done"]

    def test_many_ticks_are_told_as_few_and_the_last_of_them_is_told(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager(durability="normal")
        session_id = create_in_status(manager, "processing")
        heard = hear(manager, "progress")

        for step in range(1, 501):
            other.update_session_progress(session_id, step, 500, f"step {step}")
        until(lambda: heard and step_of(heard[-1].session) == 500)

        assert len(heard) < 250

    def test_a_session_is_told_of_before_its_progress(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        heard = hear(manager, "created", "status_changed", "progress")

        with other.transaction():
            session_id = create_in_status(other, "processing")
            other.update_session_progress(session_id, 1, 2, "half")
        until(lambda: len(heard) == 3)

        assert [each.event_type for each in heard] == ["created", "status_changed", "progress"]

    def test_a_tick_that_comes_with_another_change_is_told(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        heard = hear(manager, "scene_added", "progress")

        with other.transaction():
            other.add_scene_to_session(session_id, a_scene(1))
            other.update_session_progress(session_id, 1, 2, "half")
        until(lambda: len(heard) == 2)

        assert [each.event_type for each in heard] == ["scene_added", "progress"]

    def test_a_callback_of_every_process_that_raises_is_logged_and_harms_nobody(
        self, open_manager: OpenManager, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager, other = open_manager(), open_manager()

        def broken(session_id: str, session: object) -> None:
            raise LookupError("no such listener")

        manager.register_session_callback("created", broken, every_process=True)
        heard = hear(manager, "created")

        with caplog.at_level(logging.WARNING, "sessionstore"):
            for _ in range(2):
                other.create_session(a_request())
            until(lambda: len(heard) == 2)

        assert sum(bool(each.exc_info and each.exc_info[0] is LookupError) for each in caplog.records) == 2

    def test_a_slow_callback_holds_up_no_watcher(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        is_called, go_on = threading.Event(), threading.Event()

        def slow(*_: object) -> None:
            is_called.set()
            assert go_on.wait(PATIENCE_SECONDS)

        manager.register_session_callback("scene_added", slow, every_process=True)
        watch = manager.watch(session_id)
        try:
            for number in range(3):
                other.add_scene_to_session(session_id, a_scene(number))
                assert is_called.wait(PATIENCE_SECONDS)
            other.update_session_status(session_id, "completed")

            assert [each.scene_number for each in watch][1:] == [0, 1, 2, None]
        finally:
            go_on.set()

    def test_a_callback_of_every_process_may_call_the_manager(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        heard = hear(manager, "status_changed")

        def callback(session_id: str, _: object) -> None:
            manager.update_session_status(session_id, "processing")
            manager.unregister_session_callback("created", callback)

        manager.register_session_callback("created", callback, every_process=True)
        first = other.create_session(a_request())
        until(lambda: heard)
        second = other.create_session(a_request())

        assert saved(other, first).status is GenerationStatus.PROCESSING
        assert saved(other, second).status is GenerationStatus.PENDING

    def test_a_callback_may_shut_the_manager_down(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        answers: list[bool] = []
        manager.register_session_callback(
            "created", lambda *_: answers.append(manager.shutdown(PATIENCE_SECONDS)), every_process=True
        )

        other.create_session(a_request())
        until(lambda: answers)

        assert answers == [True]
        assert manager.shutdown()

    def test_a_shutdown_lets_a_running_callback_finish_what_it_began_and_begins_no_other(
        self, open_manager: OpenManager
    ) -> None:
        manager, other = open_manager(), open_manager()
        is_called, go_on = threading.Event(), threading.Event()
        seen: list[int] = []

        def slow(*_: object) -> None:
            is_called.set()
            assert go_on.wait(PATIENCE_SECONDS)
            seen.append(manager.get_session_count())

        manager.register_session_callback("created", slow, every_process=True)
        for _ in range(2):
            other.create_session(a_request())
        assert is_called.wait(PATIENCE_SECONDS)
        assert manager.shutdown(timeout=0.05) is False
        go_on.set()

        assert manager.shutdown(PATIENCE_SECONDS)
        assert seen == [2]

    def test_a_callback_of_every_process_that_was_taken_back_is_called_no_more(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        calls: list[str] = []

        def callback(session_id: str, _: object) -> None:
            calls.append(session_id)

        manager.register_session_callback("created", callback, every_process=True)
        first = other.create_session(a_request())
        until(lambda: calls)

        assert manager.unregister_session_callback("created", callback) is True
        assert manager.unregister_session_callback("created", callback) is False
        heard = hear(manager, "created")
        other.create_session(a_request())
        until(lambda: heard)

        assert calls == [first]

    def test_who_comes_back_hears_nothing_of_the_time_between(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        calls: list[str] = []

        def callback(session_id: str, session: Any) -> None:
            calls.append(session and session.progress and session.progress.description)

        for description in ("one", "between", "two"):
            if description != "between":
                for event_type in ("scene_added", "progress"):
                    manager.register_session_callback(event_type, callback, every_process=True)
            other.update_session_progress(session_id, 1, 2, description)
            if description != "between":
                until(lambda wanted=description: wanted in calls)  # type: ignore[misc]
                for event_type in ("scene_added", "progress"):
                    assert manager.unregister_session_callback(event_type, callback)
            else:
                other.add_scene_to_session(session_id, a_scene(1))

        assert calls == ["one", "two"]

    def test_progress_of_before_the_registration_is_not_told(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        other.update_session_progress(session_id, 1, 2, "half")
        heard = hear(manager, "progress", "created")

        other.create_session(a_request())
        until(lambda: heard)
        other.update_session_progress(session_id, 2, 2, "whole")
        until(lambda: len(heard) > 1)

        assert [(each.event_type, step_of(each.session)) for each in heard] == [("created", None), ("progress", 2)]

    def test_of_a_corrupted_session_nobody_is_told_but_the_log(
        self, open_manager: OpenManager, execute: Execute, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = manager.create_session(a_request())
        execute(update(SessionRow).values(request_data="{}"))
        heard = hear(manager, "status_changed", "created")

        with caplog.at_level(logging.WARNING, "sessionstore"):
            other.update_session_status(session_id, "processing")
            other.create_session(a_request())
            until(lambda: heard)

        assert [each.event_type for each in heard] == ["created"]
        assert any("no callback is called" in record.message for record in caplog.records)

    def test_every_event_type_can_be_heard_of_every_process(self, manager: Manager) -> None:
        def callback(session_id: str, session: object) -> None: ...

        for event_type in EVENT_TYPES:
            manager.register_session_callback(event_type, callback, every_process=True)

        assert all(manager.unregister_session_callback(event_type, callback) for event_type in EVENT_TYPES)

    def test_what_cannot_be_registered_is_refused(self, manager: Manager) -> None:
        with pytest.raises(ValueError, match="event_type"):
            manager.register_session_callback("finished", lambda *_: None, every_process=True)
        with pytest.raises(TypeError, match="callback"):
            manager.register_session_callback("created", "print", every_process=True)  # type: ignore[call-overload]  # the point
        with manager.transaction(), pytest.raises(SessionManagerError, match="inside a transaction"):
            manager.register_session_callback("created", lambda *_: None, every_process=True)
