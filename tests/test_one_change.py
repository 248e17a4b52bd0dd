"""A change of several parts is one change: nobody hears, reads or counts half of it."""

from typing import Any

import pytest

from sessionstore import GenerationSession, GenerationStatus, SessionManager
from tests.conftest import OpenManager
from tests.dumps import query

SCENE = {"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"}
CHANGES: dict[str, Any] = {"scenes": [SCENE], "status": "completed", "metadata": {"cost": 2}, "error_message": "none"}


@pytest.fixture
def session_id(manager: SessionManager) -> str:
    return manager.create_session({"story_text": "A lamp."})


def hear(heard: dict[str, GenerationSession], event: str, _: str, session: GenerationSession) -> None:
    heard[event] = session


def change_all(session: GenerationSession) -> None:
    for name, value in CHANGES.items():
        setattr(session, name, value)


def test_every_callback_of_an_atomic_update_sees_the_whole_of_it(manager: SessionManager, session_id: str) -> None:
    heard: dict[str, GenerationSession] = {}

    def listen(event_type: str) -> None:
        manager.register_session_callback(event_type, lambda _, session: heard.update({event_type: session}))

    for each in ("scenes_set", "updated", "status_changed", "completed"):
        listen(each)
    manager.atomic_session_update(session_id, CHANGES)
    saved = manager.get_session(session_id)
    assert saved is not None
    assert heard.keys() == {"scenes_set", "updated", "status_changed", "completed"}
    for event_type, session in heard.items():
        assert session.model_dump() == saved.model_dump(), event_type


def test_every_event_of_an_atomic_update_has_the_status_that_it_led_to(
    manager: SessionManager, session_id: str, database: Any
) -> None:
    manager.atomic_session_update(session_id, CHANGES)
    events = query(database, "SELECT event_type, status FROM session_events ORDER BY event_id")
    assert events[0] == ("created", "pending")
    assert {status for _, status in events[1:]} == {"completed"}


def test_an_atomic_update_of_several_parts_counts_as_one_version(manager: SessionManager, session_id: str) -> None:
    manager.atomic_session_update(session_id, CHANGES)
    session = manager.get_session(session_id)
    assert session is not None
    assert session.version == 2


def test_a_locked_change_of_several_parts_counts_as_one_version(manager: SessionManager, session_id: str) -> None:
    manager.with_session_lock(session_id, change_all)
    session = manager.get_session(session_id)
    assert session is not None
    assert session.version == 2


def test_what_is_kept_of_a_run_fits_a_status_that_was_changed_twice_inside_a_lock(
    manager: SessionManager, session_id: str
) -> None:
    def finish_and_begin_again(session: GenerationSession) -> None:
        manager.update_session_status(session_id, "failed", "no paint")
        session.status = GenerationStatus.PROCESSING

    manager.with_session_lock(session_id, finish_and_begin_again)
    session = manager.get_session(session_id)
    assert session is not None
    assert (session.status, session.finished_at, session.error_message) == ("processing", None, None)


def test_a_change_and_its_access_time_are_there_after_a_reopening(open_manager: OpenManager, clock: Any) -> None:
    manager = open_manager()
    session_id = manager.create_session({"story_text": "A lamp."})
    manager.atomic_session_update(session_id, CHANGES)
    clock.advance(minutes=5)
    before = manager.get_session(session_id)
    assert before is not None
    manager.shutdown()
    (after,) = open_manager().list_sessions().sessions
    assert after.model_dump() == before.model_dump()
