"""`register_session_callback` and `unregister_session_callback`: who hears of what, when, and on which thread."""

import logging
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import update

from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import SessionRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    Session,
    a_request,
    a_scene,
    create_in_status,
    listen,
    saved,
)

EVENT_TYPES = (
    *("created", "status_changed", "progress", "scene_added", "scenes_set", "updated", "completed"),
    *("failed", "cancelled", "removed", "expired", "evicted", "recovered"),
)

# What is announced by a change of a session that is there.
CHANGES: list[tuple[list[str], Callable[[Manager, str], object]]] = [
    (["status_changed"], lambda manager, each: manager.update_session_status(each, "downloading")),
    (["status_changed", "completed"], lambda manager, each: manager.update_session_status(each, "completed")),
    (["status_changed", "failed"], lambda manager, each: manager.update_session_status(each, "failed", "boom")),
    (["status_changed", "cancelled"], lambda manager, each: manager.update_session_status(each, "cancelled")),
    (["progress"], lambda manager, each: manager.update_session_progress(each, 1, 2, "half")),
    (["scene_added"], lambda manager, each: manager.add_scene_to_session(each, a_scene(1))),
    (["scenes_set"], lambda manager, each: manager.set_session_scenes(each, [a_scene(1)])),
    (["updated"], lambda manager, each: manager.atomic_session_update(each, {"metadata": {"n": 1}})),
    (["updated"], lambda manager, each: manager.with_session_lock(each, lambda s: s.metadata.update(n=1))),
    (["removed"], lambda manager, each: manager.remove_session(each)),
    (["removed"], lambda manager, each: manager.force_cleanup_all()),
    (["expired"], lambda manager, each: manager.cleanup_expired_sessions(0)),
    (["evicted"], lambda manager, each: manager.reconfigure(max_sessions=1)),
]


class CallbacksContract(ContractGroup):
    """Callbacks get (session_id, session) after the commit, on the thread that made the change."""

    def test_a_creation_is_announced_with_the_new_session(self, manager: Manager) -> None:
        heard = listen(manager, *EVENT_TYPES)

        session_id = manager.create_session(a_request())

        assert [(call.event_type, call.session_id) for call in heard] == [("created", session_id)]
        assert heard[0].session == saved(manager, session_id)

    @pytest.mark.parametrize(
        ("announced", "change"), CHANGES, ids=[f"{'-'.join(each[0])}-{n}" for n, each in enumerate(CHANGES)]
    )
    def test_each_change_is_announced_as_what_it_is(
        self, manager: Manager, clock: ManualClock, announced: list[str], change: Callable[[Manager, str], object]
    ) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(seconds=1)
        if announced == ["evicted"]:
            manager.create_session(a_request())
        heard = listen(manager, *EVENT_TYPES)

        change(manager, session_id)

        assert [(call.event_type, call.session_id) for call in heard] == [(each, session_id) for each in announced]
        assert heard[-1].session.session_id == session_id

    def test_an_expiry_is_announced_with_the_session_as_it_was(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request(), metadata={"n": 1})
        manager.add_scene_to_session(session_id, a_scene(1))
        heard = listen(manager, *EVENT_TYPES)
        clock.advance(hours=25)

        manager.cleanup_expired_sessions()

        assert [(call.event_type, call.session_id) for call in heard] == [("expired", session_id)]
        assert (heard[0].session.metadata, heard[0].session.scenes) == ({"n": 1}, [a_scene(1)])

    def test_an_eviction_is_announced_before_the_creation_it_made_room_for(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=1)
        oldest = manager.create_session(a_request())
        heard = listen(manager, *EVENT_TYPES)

        newest = manager.create_session(a_request())

        assert [(call.event_type, call.session_id) for call in heard] == [("evicted", oldest), ("created", newest)]

    def test_a_recovery_is_announced(self, manager: Manager, execute: Execute) -> None:
        session_id = manager.create_session(a_request())
        execute(update(SessionRow).values(request_data="{}"))
        heard = listen(manager, "recovered")

        manager.recover_corrupted_session(session_id)

        assert [(call.session_id, call.session.status) for call in heard] == [(session_id, GenerationStatus.FAILED)]

    def test_a_change_that_did_not_happen_is_not_announced(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")
        heard = listen(manager, *EVENT_TYPES)

        manager.update_session_status(session_id, "processing")
        manager.update_session_status(session_id, "completed", expected_status="pending")
        manager.update_session_status("nobody", "completed")
        manager.add_scene_to_session("nobody", a_scene(1))
        manager.remove_session("nobody")

        assert heard == []

    def test_a_callback_runs_after_the_commit(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        seen: list[Session | None] = []
        manager.register_session_callback("created", lambda session_id, _: seen.append(other.get_session(session_id)))

        session_id = manager.create_session(a_request())

        assert [session and session.session_id for session in seen] == [session_id]

    def test_a_callback_runs_on_the_thread_that_made_the_change(self, manager: Manager) -> None:
        heard = listen(manager, "created")

        manager.create_session(a_request())

        assert heard[0].thread == threading.get_ident()

    def test_a_callback_may_call_the_manager(self, manager: Manager) -> None:
        def callback(session_id: str, session: Session) -> None:
            manager.update_session_status(session_id, "processing")
            manager.with_session_lock(session_id, lambda locked: locked.metadata.update(started=True))

        manager.register_session_callback("created", callback)

        session = saved(manager, manager.create_session(a_request()))

        assert (session.status, session.metadata) == (GenerationStatus.PROCESSING, {"started": True})

    def test_a_change_made_by_a_callback_is_announced_too(self, manager: Manager) -> None:
        heard = listen(manager, "status_changed")
        manager.register_session_callback("created", lambda each, _: manager.update_session_status(each, "processing"))

        session_id = manager.create_session(a_request())

        assert [call.session_id for call in heard] == [session_id]

    def test_a_callback_that_raises_is_logged_and_harms_nobody(
        self, manager: Manager, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(session_id: str, session: Session) -> None:
            raise LookupError("no such listener")

        manager.register_session_callback("created", broken)
        heard = listen(manager, "created")

        with caplog.at_level(logging.WARNING, "sessionstore"):
            session_id = manager.create_session(a_request())

        assert saved(manager, session_id).session_id == session_id
        assert [call.session_id for call in heard] == [session_id]
        assert any(record.exc_info and record.exc_info[0] is LookupError for record in caplog.records)

    def test_callbacks_are_called_in_the_order_they_were_registered(self, manager: Manager) -> None:
        order: list[int] = []
        for number in (1, 2, 3):
            manager.register_session_callback("created", lambda *_, n=number: order.append(n))

        manager.create_session(a_request())

        assert order == [1, 2, 3]

    def test_what_a_callback_does_to_its_session_changes_nothing_in_the_store(self, manager: Manager) -> None:
        manager.register_session_callback("created", lambda _, session: session.metadata.update(mine=True))

        session_id = manager.create_session(a_request())

        assert saved(manager, session_id).metadata == {}

    def test_a_callback_that_was_taken_back_is_called_no_more(self, manager: Manager) -> None:
        calls: list[str] = []

        def callback(session_id: str, session: Session) -> None:
            calls.append(session_id)

        manager.register_session_callback("created", callback)
        first = manager.create_session(a_request())

        assert manager.unregister_session_callback("created", callback) is True
        assert manager.unregister_session_callback("created", callback) is False

        manager.create_session(a_request())
        assert calls == [first]

    def test_a_callback_that_is_taken_back_stays_for_other_types(self, manager: Manager) -> None:
        calls: list[str] = []

        def callback(session_id: str, session: Session) -> None:
            calls.append(session_id)

        manager.register_session_callback("created", callback)
        manager.register_session_callback("completed", callback)
        manager.unregister_session_callback("created", callback)

        create_in_status(manager, "completed")

        assert len(calls) == 1

    def test_an_unknown_event_type_is_refused(self, manager: Manager) -> None:
        def callback(session_id: str, session: Session) -> None: ...

        with pytest.raises(ValueError, match="event_type"):
            manager.register_session_callback("finished", callback)
        with pytest.raises(ValueError, match="event_type"):
            manager.unregister_session_callback("finished", callback)

    @pytest.mark.parametrize("event_type", EVENT_TYPES)
    def test_every_event_type_can_be_listened_to(self, manager: Manager, event_type: str) -> None:
        def callback(session_id: str, session: Session) -> None: ...

        manager.register_session_callback(event_type, callback)

        assert manager.unregister_session_callback(event_type, callback) is True

    def test_callbacks_of_one_manager_do_not_hear_another(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        heard = listen(manager, "created")

        other.create_session(a_request())

        assert heard == []
