"""What bad input gets: an error that names the argument or field, and a store that is unchanged."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    a_request,
    a_scene,
    listen,
    saved,
)

# Values that no JSON column brings back, and the word by which each is refused.
UNSTORABLE: list[tuple[str, Any]] = [
    ("nan", float("nan")),
    ("infinity", float("-inf")),
    ("65-bits", 2**63),
    ("negative-65-bits", -(2**63) - 1),
    ("lone-surrogate", "\ud800"),
    ("10-megabytes", "x" * 10_000_000),
    ("nested-nan", [{"deep": float("nan")}]),
]
NO_JSON: list[tuple[str, Any]] = [("object", object()), ("set", {1}), ("bytes", b"x"), ("key", {1: "x"})]

BAD_IDS: list[tuple[str, Any]] = [
    ("empty", ""),
    ("nul", "a\0b"),
    ("newline", "a\nb"),
    ("surrogate", "\ud800"),
    ("long", "x" * 10_000),
    ("number", 7),
    ("none", None),
]

BY_ID: dict[str, Callable[[Manager, Any], object]] = {
    "get_session": lambda manager, each: manager.get_session(each),
    "update_session_status": lambda manager, each: manager.update_session_status(each, "failed"),
    "update_session_progress": lambda manager, each: manager.update_session_progress(each, 1, 2, ""),
    "remove_session": lambda manager, each: manager.remove_session(each),
    "find_tombstone": lambda manager, each: manager.find_tombstone(each),
    "add_scene_to_session": lambda manager, each: manager.add_scene_to_session(each, a_scene(1)),
    "set_session_scenes": lambda manager, each: manager.set_session_scenes(each, []),
    "with_session_lock": lambda manager, each: manager.with_session_lock(each, lambda _: None),
    "atomic_session_update": lambda manager, each: manager.atomic_session_update(each, {}),
    "bulk_update_sessions": lambda manager, each: manager.bulk_update_sessions([each], lambda _: None),
    "recover_corrupted_session": lambda manager, each: manager.recover_corrupted_session(each),
}


def named(values: list[tuple[str, Any]]) -> list[Any]:
    return [pytest.param(value, id=name) for name, value in values]


class RefusalsContract(ContractGroup):
    """Nothing is stored that would not come back the same."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param("story_text", "", id="no-story"),
            pytest.param("story_text", " \n\t ", id="blank-story"),
            pytest.param("story_text", "x" * 50_001, id="story-of-50001"),
            pytest.param("num_scenes", 0, id="no-scenes"),
            pytest.param("num_scenes", 101, id="101-scenes"),
            pytest.param("media_type", "opera", id="unknown-media-type"),
        ],
    )
    def test_a_request_out_of_range_is_refused_by_field(self, manager: Manager, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=name):
            manager.create_session({"story_text": "A fox."} | {name: value})

        assert manager.get_session_count() == 0

    @pytest.mark.parametrize("value", named(UNSTORABLE))
    def test_an_extra_field_of_a_request_that_would_not_come_back_is_refused(
        self, manager: Manager, value: Any
    ) -> None:
        with pytest.raises(ValueError, match="request"):
            manager.create_session(a_request(seed=value))

        assert manager.get_session_count() == 0

    @pytest.mark.parametrize("value", named(UNSTORABLE + NO_JSON))
    def test_metadata_that_would_not_come_back_is_refused(self, manager: Manager, value: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="metadata"):
            manager.create_session(a_request(), metadata={"seed": value})

        assert manager.get_session_count() == 0

    @pytest.mark.parametrize("metadata", ["text", [1], 7, {1: 2}])
    def test_metadata_that_is_no_dictionary_is_refused(self, manager: Manager, metadata: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="metadata"):
            manager.create_session(a_request(), metadata=metadata)

        assert manager.get_session_count() == 0

    def test_metadata_that_holds_itself_is_refused(self, manager: Manager) -> None:
        metadata: dict[str, Any] = {}
        metadata["self"] = metadata

        with pytest.raises(ValueError, match="metadata"):
            manager.create_session(a_request(), metadata=metadata)

    @pytest.mark.parametrize("value", named(UNSTORABLE))
    def test_an_extra_field_of_a_scene_that_would_not_come_back_is_refused(self, manager: Manager, value: Any) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)

        with pytest.raises(ValueError, match="scene"):
            manager.add_scene_to_session(session_id, a_scene(1, seed=value))
        with pytest.raises(ValueError, match="scene"):
            manager.set_session_scenes(session_id, [a_scene(1), a_scene(2, seed=value)])

        assert saved(manager, session_id) == before

    @pytest.mark.parametrize(
        ("name", "value"),
        [("scene_number", -1), ("scene_number", 2**31), ("title", ""), ("description", " "), ("image_prompt", "")],
    )
    def test_a_scene_out_of_range_is_refused_by_field(self, manager: Manager, name: str, value: Any) -> None:
        session_id = manager.create_session(a_request())

        with pytest.raises(ValueError, match=name):
            manager.add_scene_to_session(session_id, a_scene(1).model_dump() | {name: value})

        assert saved(manager, session_id).scenes == []

    @pytest.mark.parametrize("text", named([("nul", "a\0b"), ("surrogate", "\ud800"), ("10-megabytes", "x" * 10**7)]))
    def test_a_text_that_would_not_come_back_is_refused(self, manager: Manager, text: str) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)

        with pytest.raises(ValueError, match="error_message"):
            manager.update_session_status(session_id, "failed", text)
        with pytest.raises(ValueError, match="description"):
            manager.update_session_progress(session_id, 1, 2, text)

        assert saved(manager, session_id) == before

    @pytest.mark.parametrize("step", [1.5, "one", None, 2**31, 2**70])
    def test_progress_that_is_no_count_is_refused(self, manager: Manager, step: Any) -> None:
        session_id = manager.create_session(a_request())

        with pytest.raises(ValueError, match="current_step"):
            manager.update_session_progress(session_id, step, 2**31 - 1, "")

        assert saved(manager, session_id).progress is None

    @pytest.mark.parametrize("call", BY_ID)
    @pytest.mark.parametrize("bad", named([each for each in BAD_IDS if each[0] in {"empty", "nul", "number"}]))
    def test_every_method_refuses_an_id_that_is_none(self, manager: Manager, call: str, bad: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="session_id"):
            BY_ID[call](manager, bad)

    @pytest.mark.parametrize("bad", named(BAD_IDS[:-1]))
    def test_an_id_or_key_that_could_not_be_typed_back_is_refused(self, manager: Manager, bad: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="session_id"):
            manager.create_session(a_request(), session_id=bad)
        with pytest.raises((ValueError, TypeError), match="idempotency_key"):
            manager.create_session(a_request(), idempotency_key=bad)

        assert manager.get_session_count() == 0

    @pytest.mark.parametrize("bad", [None, 7, "a story", ["a"]])
    def test_a_request_that_is_none_is_refused(self, manager: Manager, bad: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="request"):
            manager.create_session(bad)

    def test_a_session_is_changed_by_a_mapping_only(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        with pytest.raises(TypeError, match="updates"):
            manager.atomic_session_update(session_id, [("status", "failed")])  # type: ignore[arg-type]  # the point

    def test_a_callback_that_cannot_be_called_is_refused(self, manager: Manager) -> None:
        with pytest.raises(TypeError, match="callback"):
            manager.register_session_callback("created", "print")  # type: ignore[call-overload]  # the point

    def test_nothing_is_announced_of_what_was_refused(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        heard = listen(manager, "created", "progress", "scene_added", "updated", "status_changed")

        with pytest.raises(ValueError, match="metadata"):
            manager.create_session(a_request(), metadata={"n": float("nan")})
        with pytest.raises(ValueError, match="current_step"):
            manager.update_session_progress(session_id, 3, 2, "")
        with pytest.raises(ValueError, match="status"):
            manager.update_session_status(session_id, "finished")

        assert heard == []
