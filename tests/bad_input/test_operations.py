"""Operations and callbacks that raise, are none, or leave a session that cannot be saved."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionstore import GenerationSession, SessionManager
from tests.bad_input.conftest import SECRET, Refuses
from tests.bad_input.values import TEN_MEGABYTES
from tests.dumps import dump


class OperationFailedError(Exception):
    """What the operations of these tests end with."""


def change_everything_and_fail(session: GenerationSession) -> None:
    session.status = "completed"  # type: ignore[assignment]  # validated on assignment
    session.metadata["changed"] = True
    session.scenes.clear()
    raise OperationFailedError


def test_an_operation_that_raises_changes_nothing(store: SessionManager, refuses: Refuses) -> None:
    refuses(lambda: store.with_session_lock("a", change_everything_and_fail), "", OperationFailedError)


def test_an_operation_that_raises_takes_back_what_it_asked_the_manager_for(
    store: SessionManager, refuses: Refuses
) -> None:
    def operate(session: GenerationSession) -> None:
        store.remove_session("b")
        store.create_session({"story_text": "Another."})
        store.update_session_status("a", "completed")
        raise OperationFailedError

    refuses(lambda: store.with_session_lock("a", operate), "", OperationFailedError)


def test_a_transaction_that_raises_changes_nothing(store: SessionManager, refuses: Refuses) -> None:
    def act() -> None:
        with store.transaction():
            store.remove_session("a")
            raise OperationFailedError

    refuses(act, "", OperationFailedError)


def spoil(name: str, value: Any) -> Callable[[GenerationSession], None]:
    """Past the validation of assignments, as code that means no harm does with lists and dicts."""
    return lambda session: vars(session).update({name: value})


SPOILT: list[tuple[str, Callable[[GenerationSession], Any]]] = [
    ("session_id", spoil("session_id", "z")),
    ("created_at", lambda session: setattr(session, "created_at", session.created_at - timedelta(hours=1))),
    ("scene", lambda session: session.scenes.append("no scene")),  # type: ignore[arg-type]  # the point
    ("scene_number", lambda session: session.scenes.append(session.scenes[0])),
    ("title", lambda session: setattr(session.scenes[0], "title", " ")),
    ("scenes", spoil("scenes", None)),
    ("num_scenes", lambda session: setattr(session.request_data, "num_scenes", 0)),
    ("story_text", lambda session: setattr(session.request_data, "story_text", SECRET * 10_000)),
    ("request", spoil("request_data", None)),
    ("metadata", spoil("metadata", [SECRET])),
    ("metadata", lambda session: session.metadata.update(note=TEN_MEGABYTES)),
    ("progress", spoil("progress", SECRET)),
]


@pytest.mark.parametrize(("name", "operate"), SPOILT)
def test_a_session_that_an_operation_spoilt_is_not_saved(
    store: SessionManager, refuses: Refuses, name: str, operate: Callable[[GenerationSession], Any]
) -> None:
    refuses(lambda: store.with_session_lock("a", operate), name)


@pytest.mark.parametrize(("name", "operate"), SPOILT)
def test_a_bulk_update_leaves_a_spoilt_session_and_goes_on(
    store: SessionManager, name: str, operate: Callable[[GenerationSession], Any]
) -> None:
    def spoil_a_and_note_b(session: GenerationSession) -> None:
        if session.session_id == "a":
            operate(session)
        session.error_message = "seen"

    assert store.bulk_update_sessions(["a", "gone", "b"], spoil_a_and_note_b) == 1
    by_id = {session.session_id: session for session in store.list_sessions().sessions}
    assert (by_id["a"].error_message, len(by_id["a"].scenes), by_id["a"].version) == (None, 2, 3)
    assert by_id["b"].error_message == "seen"


@pytest.mark.parametrize("bad", [None, 7, SECRET], ids=["none", "number", "text"])
def test_an_operation_that_cannot_be_called_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.with_session_lock("a", bad), "operation")
    refuses(lambda: store.bulk_update_sessions(["a"], bad), "operation")


@pytest.mark.parametrize("bad", [None, 7, SECRET, ["status"], {"status"}], ids=["none", "7", "text", "list", "set"])
def test_updates_that_are_no_dictionary_are_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.atomic_session_update("a", bad), "updates")


# Callbacks


def test_a_callback_that_raises_harms_neither_the_write_nor_the_other_callbacks(
    store: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def fail(session_id: str, session: GenerationSession) -> None:
        raise OperationFailedError(SECRET)

    store.register_session_callback("failed", fail)
    store.register_session_callback("failed", lambda session_id, session: heard.append(session_id))
    with caplog.at_level(logging.ERROR):
        assert store.update_session_status("a", "failed")
    assert heard == ["a"]
    assert [session.session_id for session in store.get_sessions_by_status("failed")] == ["a", "b"]
    (record,) = caplog.records
    assert (record.getMessage(), getattr(record, "session_id", None)) == ("a failed callback failed", "a")


def test_a_callback_with_another_signature_is_logged_and_harms_nobody(
    store: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: Any = lambda: None  # noqa: E731 - a callback that takes nothing
    store.register_session_callback("removed", wrong)
    assert store.remove_session("a")
    assert len(caplog.records) == 1


def test_what_a_callback_does_to_its_session_does_not_reach_the_store(store: SessionManager, database: Path) -> None:
    def spoil_it(session_id: str, session: GenerationSession) -> None:
        session.metadata.clear()
        session.scenes.clear()

    store.register_session_callback("progress", spoil_it)
    store.update_session_progress("a", 2, 3, "painting")
    (row,) = [row for row in dump(database)["sessions"] if row[0] == "a"]
    assert '{"owner":"ann"}' in row
    assert len(dump(database)["scenes"]) == 2


@pytest.mark.parametrize(
    "bad", ["exploded", "CREATED", "", None, 7, [SECRET], TEN_MEGABYTES], ids=lambda bad: str(bad)[:8]
)
def test_an_event_type_that_does_not_exist_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.register_session_callback(bad, print), "event_type", ValueError)
    refuses(lambda: store.unregister_session_callback(bad, print), "event_type", ValueError)


@pytest.mark.parametrize("bad", [None, 7, SECRET], ids=["none", "number", "text"])
def test_a_callback_that_cannot_be_called_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.register_session_callback("created", bad), "callback")
