"""Limits that a setting names: what is at one is taken, what is beyond is refused, and nothing is changed."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionManager, Settings
from tests.bad_input.values import nested
from tests.conftest import OpenManager

REQUEST = {"story_text": "A lamp."}
SECURITY = Path(__file__).parents[2] / "SECURITY.md"


def scene(number: int) -> dict[str, Any]:
    return {"scene_number": number, "title": "t", "description": "d", "image_prompt": "p"}


@pytest.fixture
def narrow(open_manager: OpenManager) -> SessionManager:
    """A store with limits that are soon reached, and session `a` with as many scenes as it may have."""
    manager = open_manager(max_scenes=2, max_bulk_sessions=2, max_page_sessions=50, max_payload_depth=3)
    manager.create_session(REQUEST, session_id="a")
    manager.set_session_scenes("a", [scene(1), scene(2)])
    return manager


def numbers(manager: SessionManager) -> list[int]:
    session = manager.get_session("a")
    assert session is not None
    return [each.scene_number for each in session.scenes]


def test_a_session_takes_no_more_scenes_than_it_may_have(narrow: SessionManager) -> None:
    with pytest.raises(ValueError, match=r"at most 2 \(setting max_scenes\)"):
        narrow.add_scene_to_session("a", scene(3))
    with pytest.raises(ValueError, match="max_scenes"):
        narrow.track("a", "gpu-1").add_scene(scene(3))
    with pytest.raises(ValueError, match="max_scenes"):
        narrow.atomic_session_update("a", {"scenes": [scene(1), scene(2), scene(3)]})
    assert numbers(narrow) == [1, 2]


def test_a_full_session_may_have_its_scenes_replaced(narrow: SessionManager) -> None:
    assert narrow.add_scene_to_session("a", scene(2) | {"title": "another"})
    assert numbers(narrow) == [1, 2]


def test_a_session_that_is_over_a_limit_lowered_since_is_still_read_and_changed(
    narrow: SessionManager, open_manager: OpenManager
) -> None:
    lowered = open_manager(max_scenes=1)
    assert numbers(lowered) == [1, 2]
    assert lowered.add_scene_to_session("a", scene(2))
    lowered.with_session_lock("a", lambda session: session.metadata.update(seen=True))


def test_scenes_that_never_end_are_refused_once_there_are_too_many(narrow: SessionManager) -> None:
    with pytest.raises(ValueError, match="max_scenes"):
        narrow.set_session_scenes("a", map(scene, itertools.count()))
    with pytest.raises(ValueError, match="max_scenes"):
        narrow.retry_session("a", itertools.count())
    assert numbers(narrow) == [1, 2]


def test_ids_that_never_end_are_refused_once_there_are_too_many(narrow: SessionManager) -> None:
    assert narrow.bulk_update_sessions(["a", "a"], lambda session: session.metadata.update(n=1)) == 2
    with pytest.raises(ValueError, match=r"session_ids: at most 2 at once \(setting max_bulk_sessions\)"):
        narrow.bulk_update_sessions(itertools.repeat("a"), lambda session: session.metadata.update(n=2))
    session = narrow.get_session("a")
    assert session is not None
    assert session.metadata == {"n": 1}


def test_a_page_is_no_larger_than_it_may_be(narrow: SessionManager) -> None:
    assert len(narrow.list_sessions(limit=50).sessions) == 1
    with pytest.raises(ValueError, match=r"limit must be an integer from 1 to 50 \(setting max_page_sessions\)"):
        narrow.list_sessions(limit=51)


def test_a_document_is_nested_no_deeper_than_it_may_be(narrow: SessionManager, open_manager: OpenManager) -> None:
    narrow.create_session(REQUEST, metadata={"k": nested(2)})
    with pytest.raises(ValueError, match=r"metadata is nested deeper than 3 levels \(setting max_payload_depth\)"):
        narrow.create_session(REQUEST, metadata={"k": nested(3)})

    deepest = open_manager(max_payload_depth=150)
    made = deepest.create_session(REQUEST | {"more": nested(149)}, metadata={"k": nested(149)})
    session = deepest.get_session(made)
    assert session is not None
    assert session.metadata == {"k": nested(149)}
    with pytest.raises(ValueError, match="max_payload_depth"):
        deepest.create_session(REQUEST, metadata={"k": nested(150)})


def test_what_changes_after_the_call_does_not_reach_the_store(narrow: SessionManager) -> None:
    inner: list[Any] = [1]
    metadata, request = {"k": inner}, REQUEST | {"more": inner}
    made = narrow.create_session(request, metadata=metadata)
    inner.append(object())
    metadata.clear()
    request["story_text"] = "Another."

    session = narrow.get_session(made)
    assert session is not None
    assert (session.metadata, session.request_data.model_extra) == ({"k": [1]}, {"more": [1]})
    assert session.request_data.story_text == "A lamp."


def test_the_limits_of_security_md_are_those_there_are() -> None:
    listed = set(re.findall(r"`(max_\w+)`", SECURITY.read_text(encoding="utf-8")))

    assert listed == {name for name in Settings.model_fields if name.startswith("max_")} - {"max_attempts"}
