"""Requests that are not what they should be: from the start, or changed into it later."""

from typing import Any

import pytest

from sessionstore import GenerationRequest, ScenePrompt, SessionManager
from tests.bad_input.conftest import SECRET, Refuses
from tests.bad_input.values import NO_JSON, TEN_MEGABYTES

BAD_FIELDS = [
    pytest.param("story_text", "", id="no story"),
    pytest.param("story_text", " \t\n\N{NO-BREAK SPACE}", id="blank story"),
    pytest.param("story_text", SECRET + "x" * (50_001 - len(SECRET)), id="story of 50,001 characters"),
    pytest.param("story_text", TEN_MEGABYTES, id="story of 10 MB"),
    pytest.param("story_text", f"{SECRET}\ud800", id="story with a lone surrogate"),
    pytest.param("story_text", None, id="story none"),
    pytest.param("story_text", 7, id="story number"),
    pytest.param("story_text", [SECRET], id="story list"),
    pytest.param("num_scenes", 0, id="no scenes"),
    pytest.param("num_scenes", -1, id="less than no scenes"),
    pytest.param("num_scenes", 101, id="101 scenes"),
    pytest.param("num_scenes", 2**70, id="scenes beyond 64 bits"),
    pytest.param("num_scenes", 1.5, id="a scene and a half"),
    pytest.param("num_scenes", float("nan"), id="nan scenes"),
    pytest.param("num_scenes", SECRET, id="text scenes"),
    pytest.param("num_scenes", None, id="none scenes"),
    pytest.param("media_type", SECRET, id="unknown media type"),
    pytest.param("media_type", TEN_MEGABYTES, id="media type of 10 MB"),
    pytest.param("media_type", 7, id="media type number"),
]
GOOD = {"story_text": "A lamp."}


def culprit(field: str, bad: Any) -> str:
    """Of what is too large to be looked into, only the argument is named."""
    return "request" if bad is TEN_MEGABYTES else field


@pytest.mark.parametrize(("field", "bad"), BAD_FIELDS)
def test_no_session_is_made_from_a_bad_request(store: SessionManager, refuses: Refuses, field: str, bad: Any) -> None:
    refuses(lambda: store.create_session(GOOD | {field: bad}), field)


@pytest.mark.parametrize(("field", "bad"), BAD_FIELDS)
def test_no_session_is_made_from_a_request_that_was_spoilt_after_its_construction(
    store: SessionManager, refuses: Refuses, field: str, bad: Any
) -> None:
    request = GenerationRequest.model_validate(GOOD)
    setattr(request, field, bad)
    refuses(lambda: store.create_session(request), culprit(field, bad))


@pytest.mark.parametrize(("field", "bad"), BAD_FIELDS)
def test_no_session_is_made_from_a_request_that_was_never_validated(
    store: SessionManager, refuses: Refuses, field: str, bad: Any
) -> None:
    refuses(
        lambda: store.create_session(GenerationRequest.model_construct(**(GOOD | {field: bad}))), culprit(field, bad)
    )


@pytest.mark.parametrize(("field", "bad"), BAD_FIELDS)
def test_no_session_gets_a_bad_request_later(store: SessionManager, refuses: Refuses, field: str, bad: Any) -> None:
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "request_data": GOOD | {field: bad}}), field)


def test_a_request_without_a_story_is_refused(store: SessionManager, refuses: Refuses) -> None:
    refuses(lambda: store.create_session({"num_scenes": 3}), "story_text")
    nothing: dict[str, Any] = {}
    refuses(lambda: store.create_session(GenerationRequest.model_construct(**nothing)), "story_text")


@pytest.mark.parametrize("bad", NO_JSON)
def test_an_extra_field_that_is_no_json_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.create_session(GOOD | {"style": bad}), "request")
    refuses(lambda: store.create_session(GenerationRequest.model_validate(GOOD | {"style": bad})), "request")


@pytest.mark.parametrize("bad", [object(), b"\xff", {SECRET: b"\xff"}], ids=["object", "bytes", "bytes inside"])
def test_an_extra_field_that_pydantic_cannot_write_is_refused(
    store: SessionManager, refuses: Refuses, bad: Any
) -> None:
    refuses(lambda: store.create_session(GOOD | {"style": bad}), "request")


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        SECRET,
        [GOOD],
        GenerationRequest,
        ScenePrompt(scene_number=1, title="t", description="d", image_prompt="p"),
    ],
    ids=["none", "number", "text", "list", "class", "scene"],
)
def test_what_is_no_request_at_all_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    name = "story_text" if isinstance(bad, ScenePrompt) else "request"
    refuses(lambda: store.create_session(bad), name)
    refuses(lambda: store.atomic_session_update("a", {"request_data": bad}), name)


def test_a_story_of_50_000_characters_and_100_scenes_are_not_too_much(store: SessionManager) -> None:
    session = store.get_session(store.create_session({"story_text": "x" * 50_000, "num_scenes": 100}))
    assert session is not None
    assert (len(session.request_data.story_text), session.request_data.num_scenes) == (50_000, 100)
