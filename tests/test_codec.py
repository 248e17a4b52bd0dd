"""Models into columns and back: what goes in comes back equal, whatever the backend's own models look like."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import (
    BaseModel,
)

from sessionstore import GenerationRequest, MediaType, ScenePrompt, SessionCorruptedError, SessionManager
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.payload import Limits
from sessionstore.testing import ManualClock
from tests.conftest import OpenManager


def codec_for(
    request_model: type[Any] = GenerationRequest, scene_model: type[Any] = ScenePrompt
) -> SessionCodec[Any, Any]:
    return SessionCodec(request_model, scene_model, ManualClock(), Limits(bytes=1_048_576, depth=64, scenes=100))


def there_and_back(request: BaseModel, model: type[BaseModel] | None = None) -> Any:
    codec = codec_for(model or type(request))
    return codec.decode_request(codec.encode_request(request).text)


# Everything that JSON can hold: text that is valid, 64-bit integers, finite numbers, and lists and objects of them.
texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(texts, json_values, max_size=5)


def exact(value: Any) -> str:
    """Told apart where Python's `==` does not: 1, 1.0 and true; 0.0 and -0.0."""
    return repr(value)


@given(json_objects)
def test_metadata_comes_back_exactly(metadata: dict[str, Any]) -> None:
    codec = codec_for()
    assert exact(codec.decode_metadata(codec.encode_metadata(metadata))) == exact(metadata)


@given(json_objects)
def test_extra_fields_of_a_request_come_back_exactly(extra: dict[str, Any]) -> None:
    request = GenerationRequest.model_validate({"story_text": "A lamp."} | without(extra, GenerationRequest))
    back = there_and_back(request)
    assert back == request
    assert exact(back.model_extra) == exact(request.model_extra)


@given(json_objects)
def test_extra_fields_of_a_scene_come_back_exactly(extra: dict[str, Any]) -> None:
    fields = {"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"}
    scene, codec = ScenePrompt.model_validate(fields | without(extra, ScenePrompt)), codec_for()
    back = codec.decode_scene(codec.encode_scene(scene).text)
    assert back == scene
    assert exact(back.model_extra) == exact(scene.model_extra)


@given(
    texts.filter(lambda text: bool(text.strip())).flatmap(lambda text: st.sampled_from([text, f" {text}\n"])),
    st.sampled_from(MediaType),
    st.integers(1, 100),
)
def test_a_request_comes_back_equal(story: str, media_type: MediaType, num_scenes: int) -> None:
    try:
        request = GenerationRequest(story_text=story, media_type=media_type, num_scenes=num_scenes)
    except ValueError:
        return  # White space of a kind that is cut, and nothing else.
    assert there_and_back(request) == request


@pytest.fixture(scope="module")
def shared_manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionManager]:
    """One for all examples of a test: none of them minds the sessions of the others."""
    with SessionManager(database_url=f"sqlite:///{tmp_path_factory.mktemp('codec') / 'sessions.db'}") as manager:
        yield manager


@given(extra=json_objects)
def test_through_a_database_too_everything_comes_back_exactly(
    shared_manager: SessionManager, extra: dict[str, Any]
) -> None:
    request = GenerationRequest.model_validate({"story_text": "A lamp."} | without(extra, GenerationRequest))
    session = shared_manager.get_session(shared_manager.create_session(request, metadata=extra))
    assert session is not None
    assert exact(session.metadata) == exact(extra)
    assert exact(session.request_data.model_extra) == exact(request.model_extra)


def without(extra: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Of the drawn fields those that the model does not declare."""
    return {name: value for name, value in extra.items() if name not in model.model_fields}


# The columns


def test_media_type_and_number_of_scenes_become_columns_when_the_model_has_them() -> None:
    encoded = codec_for().encode_request(GenerationRequest(story_text="x", media_type=MediaType.CARTOON, num_scenes=3))
    assert (encoded.media_type, encoded.num_scenes) == ("cartoon", 3)


def test_requests_are_the_same_whatever_the_order_of_their_fields() -> None:
    codec = codec_for()
    one, other = (
        codec.encode_request({"story_text": "x", **extra}) for extra in ({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    )
    assert codec.is_same_request(one.text, other)
    assert not codec.is_same_request(one.text, codec.encode_request({"story_text": "x", "a": True, "b": [2]}))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("attempt", "'abc'"),
        ("version", "1.5"),
        ("error_message", "x'00ff'"),
        ("created_at", "'soon'"),
        ("finished_at", "5"),
    ],
)
def test_a_column_that_holds_what_its_type_does_not_let_in_is_found_out(
    open_manager: OpenManager, database: Path, column: str, value: str
) -> None:
    """SQLite itself keeps whatever it is given."""
    manager = open_manager()
    manager.create_session({"story_text": "A lamp."}, session_id="a")
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("DROP TRIGGER count_moved_session")
        other.execute(f"UPDATE sessions SET {column} = {value}, state_checksum = NULL")  # noqa: S608 - one of the cases above
        other.commit()
    with pytest.raises(SessionCorruptedError, match=r"'a': the stored (state|times) no longer validates"):
        manager.get_session("a")
