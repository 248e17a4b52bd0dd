"""Scenes that are not what they should be, one by one and in lists."""

from typing import Any

import pytest

from sessionstore import ScenePrompt, SessionManager
from tests.bad_input.conftest import SECRET, Refuses
from tests.bad_input.values import NO_JSON, TEN_MEGABYTES

GOOD = {"scene_number": 3, "title": "t", "description": "d", "image_prompt": "p"}
TEXTS = ["title", "description", "image_prompt"]

BAD_FIELDS = [
    *(pytest.param(field, " \n", id=f"blank {field}") for field in TEXTS),
    *(pytest.param(field, None, id=f"no {field}") for field in TEXTS),
    *(pytest.param(field, f"{SECRET}\ud800", id=f"lone surrogate in {field}") for field in [*TEXTS, "image_url"]),
    *(pytest.param(field, 7, id=f"number as {field}") for field in [*TEXTS, "image_url", "image_path"]),
    pytest.param("scene_number", -1, id="negative number"),
    pytest.param("scene_number", 2**31, id="number beyond the column"),
    pytest.param("scene_number", 2**70, id="number beyond 64 bits"),
    pytest.param("scene_number", 1.5, id="fraction as number"),
    pytest.param("scene_number", float("nan"), id="nan as number"),
    pytest.param("scene_number", SECRET, id="text as number"),
    pytest.param("scene_number", None, id="none as number"),
]


@pytest.mark.parametrize(("field", "bad"), BAD_FIELDS)
def test_no_bad_scene_is_saved(store: SessionManager, refuses: Refuses, field: str, bad: Any) -> None:
    scene = GOOD | {field: bad}
    refuses(lambda: store.add_scene_to_session("a", scene), field)
    refuses(lambda: store.set_session_scenes("a", [GOOD, scene]), field)
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "scenes": [scene]}), field)


@pytest.mark.parametrize(("field", "bad"), BAD_FIELDS)
def test_no_scene_that_was_spoilt_after_its_construction_is_saved(
    store: SessionManager, refuses: Refuses, field: str, bad: Any
) -> None:
    spoilt = ScenePrompt.model_validate(GOOD)
    setattr(spoilt, field, bad)
    values: dict[str, Any] = GOOD | {field: bad}
    for scene in (spoilt, ScenePrompt.model_construct(**values)):
        refuses(lambda scene=scene: store.add_scene_to_session("a", scene), field)


@pytest.mark.parametrize("field", [*TEXTS, "image_url", "image_path"])
def test_no_scene_text_of_10_megabytes_is_saved(store: SessionManager, refuses: Refuses, field: str) -> None:
    refuses(lambda: store.add_scene_to_session("a", GOOD | {field: TEN_MEGABYTES}), "scene")


@pytest.mark.parametrize("bad", NO_JSON)
def test_an_extra_field_that_is_no_json_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.add_scene_to_session("a", GOOD | {"seed": bad}), "scene")
    refuses(lambda: store.set_session_scenes("a", [GOOD | {"seed": bad}]), "scene")


def test_a_scene_without_anything_is_refused_in_a_message_of_reasonable_length(
    store: SessionManager, refuses: Refuses
) -> None:
    refuses(lambda: store.add_scene_to_session("a", {}), "scene_number")
    nothing: dict[str, Any] = {}
    refuses(lambda: store.add_scene_to_session("a", ScenePrompt.model_construct(**nothing)), "scene_number")


@pytest.mark.parametrize("numbers", [[1, 1], [2, 1, 2], [0] * 50], ids=str)
def test_a_scene_number_given_twice_is_refused(store: SessionManager, refuses: Refuses, numbers: list[int]) -> None:
    scenes = [GOOD | {"scene_number": number} for number in numbers]
    refuses(lambda: store.set_session_scenes("a", scenes), "scene_number")
    refuses(lambda: store.atomic_session_update("a", {"status": "failed", "scenes": scenes}), "scene_number")


def test_very_many_repeated_numbers_are_not_all_listed(store: SessionManager, refuses: Refuses) -> None:
    scenes = [GOOD | {"scene_number": number} for number in [*range(300), *range(300)]]
    refuses(lambda: store.set_session_scenes("a", scenes), "scene_number")


@pytest.mark.parametrize("bad", [None, 7, SECRET, [GOOD], ScenePrompt], ids=["none", "number", "text", "list", "class"])
def test_what_is_no_scene_at_all_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.add_scene_to_session("a", bad), "scene")
    refuses(lambda: store.set_session_scenes("a", [bad]), "scene")


@pytest.mark.parametrize("bad", [None, 7, SECRET, GOOD], ids=["none", "number", "text", "one scene"])
def test_scenes_that_are_no_list_are_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.set_session_scenes("a", bad), "scene")
    refuses(lambda: store.atomic_session_update("a", {"scenes": bad}), "scene")
