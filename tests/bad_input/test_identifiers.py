"""Session ids and idempotency keys that cannot be stored and typed back."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import SessionManager
from tests.bad_input.conftest import Refuses
from tests.bad_input.values import BAD_IDS

SCENE = {"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"}


def do_nothing(session: Any) -> None:
    """An operation."""


TAKING_AN_ID: list[Callable[[SessionManager, Any], Any]] = [
    lambda store, bad: store.get_session(bad),
    lambda store, bad: store.update_session_status(bad, "completed"),
    lambda store, bad: store.update_session_progress(bad, 1, 2, "painting"),
    lambda store, bad: store.add_scene_to_session(bad, SCENE),
    lambda store, bad: store.set_session_scenes(bad, []),
    lambda store, bad: store.remove_session(bad),
    lambda store, bad: store.with_session_lock(bad, do_nothing),
    lambda store, bad: store.atomic_session_update(bad, {"status": "failed"}),
    lambda store, bad: store.find_tombstone(bad),
    lambda store, bad: store.recover_corrupted_session(bad),
]


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize("act", TAKING_AN_ID, ids=lambda act: act.__code__.co_names[0])
def test_no_method_takes_an_id_that_no_session_can_have(
    store: SessionManager, refuses: Refuses, act: Callable[[SessionManager, Any], Any], bad: Any
) -> None:
    refuses(lambda: act(store, bad), "session_id")


@pytest.mark.parametrize("bad", [each for each in BAD_IDS if each.id != "none"])
@pytest.mark.parametrize("name", ["session_id", "idempotency_key"])
def test_no_session_is_made_under_a_bad_id_or_key(store: SessionManager, refuses: Refuses, name: str, bad: Any) -> None:
    refuses(lambda: store.create_session({"story_text": "A lamp."}, **{name: bad}), name)


@pytest.mark.parametrize("bad", BAD_IDS)
def test_one_bad_id_among_good_ones_stops_a_bulk_update_before_it_begins(
    store: SessionManager, refuses: Refuses, bad: Any
) -> None:
    seen: list[str] = []
    refuses(
        lambda: store.bulk_update_sessions(["a", bad], lambda session: seen.append(session.session_id)), "session_ids"
    )
    assert seen == []


@pytest.mark.parametrize("bad", [None, 7, "ab"], ids=str)
def test_a_bulk_update_wants_several_ids_and_not_one_text(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.bulk_update_sessions(bad, do_nothing), "session_ids")
