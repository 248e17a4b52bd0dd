"""Progress that is nonsense, statuses that do not exist, and texts that cannot be stored."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import ProgressUpdate, SessionManager
from tests.bad_input.conftest import SECRET, Refuses
from tests.bad_input.values import BAD_STATUSES, BAD_TEXTS

BAD_STEPS = [
    pytest.param(4, 3, "current_step", id="beyond the total"),
    pytest.param(-1, 3, "current_step", id="negative"),
    pytest.param(1, 0, "total_steps", id="of nothing"),
    pytest.param(1, -3, "total_steps", id="of a negative total"),
    pytest.param(float("nan"), 3, "current_step", id="nan"),
    pytest.param(1, float("nan"), "total_steps", id="of nan"),
    pytest.param(float("inf"), 3, "current_step", id="infinite"),
    pytest.param(1, float("inf"), "total_steps", id="of infinitely many"),
    pytest.param(1.5, 3, "current_step", id="fraction"),
    pytest.param(2**31, 2**31, "current_step", id="beyond the column"),
    pytest.param(1, 2**70, "total_steps", id="beyond 64 bits"),
    pytest.param(None, 3, "current_step", id="none"),
    pytest.param(1, SECRET, "total_steps", id="text"),
    pytest.param([1], 3, "current_step", id="list"),
]


@pytest.mark.parametrize(("current", "total", "name"), BAD_STEPS)
def test_nonsense_progress_is_refused(
    store: SessionManager, refuses: Refuses, current: Any, total: Any, name: str
) -> None:
    tick = {"current_step": current, "total_steps": total, "description": "d"}
    refuses(lambda: store.update_session_progress("a", current, total, "d"), name)
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "progress": tick}), name)
    spoilt = ProgressUpdate.model_construct(None, **tick)
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "progress": spoilt}), name)
    refuses(lambda: store.with_session_lock("a", lambda session: vars(session).update(progress=spoilt)), name)


@pytest.mark.parametrize("bad", [*BAD_TEXTS, pytest.param(None, id="none")])
def test_a_progress_description_that_cannot_be_stored_is_refused(
    store: SessionManager, refuses: Refuses, bad: Any
) -> None:
    refuses(lambda: store.update_session_progress("a", 1, 3, bad), "description")


@pytest.mark.parametrize("bad", [7, SECRET, [1, 3], object()], ids=["number", "text", "list", "object"])
def test_progress_that_is_no_progress_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.atomic_session_update("a", {"progress": bad}), "progress")


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_an_error_message_that_cannot_be_stored_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.update_session_status("a", "failed", bad), "error_message")
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "error_message": bad}), "error_message")
    refuses(
        lambda: store.with_session_lock("a", lambda session: vars(session).update(error_message=bad)), "error_message"
    )


BY_STATUS: list[tuple[str, Callable[[SessionManager, Any], Any]]] = [
    ("status", lambda store, bad: store.update_session_status("a", bad)),
    ("expected_status", lambda store, bad: store.update_session_status("a", "failed", expected_status=bad)),
    ("status", lambda store, bad: store.atomic_session_update("a", {"error_message": "x", "status": bad})),
    ("status", lambda store, bad: store.with_session_lock("a", lambda session: vars(session).update(status=bad))),
    ("status", lambda store, bad: store.get_sessions_by_status(bad)),
    ("status", lambda store, bad: store.list_sessions(status=bad)),
]


@pytest.mark.parametrize("bad", BAD_STATUSES)
@pytest.mark.parametrize(("name", "act"), BY_STATUS, ids=["update", "expect", "atomic", "lock", "by status", "list"])
def test_a_status_that_does_not_exist_is_refused(
    store: SessionManager, refuses: Refuses, name: str, act: Callable[[SessionManager, Any], Any], bad: Any
) -> None:
    refuses(lambda: act(store, bad), name)


def test_no_status_at_all_is_refused(store: SessionManager, refuses: Refuses) -> None:
    none: Any = None
    refuses(lambda: store.update_session_status("a", none), "status")
    refuses(lambda: store.get_sessions_by_status(none), "status")
