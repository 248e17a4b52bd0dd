"""Models into columns and back: what goes in comes back equal, whatever the backend's own models look like."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from sessionstore import GenerationRequest, MediaType, ScenePrompt
from sessionstore.persistence.codec import SessionCodec
from sessionstore.testing import ManualClock
from tests.conftest import OpenManager


def codec_for(
    request_model: type[Any] = GenerationRequest, scene_model: type[Any] = ScenePrompt
) -> SessionCodec[Any, Any]:
    return SessionCodec(request_model, scene_model, ManualClock(), 1_048_576)


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


@given(json_objects)
def test_through_a_database_too_everything_comes_back_exactly(extra: dict[str, Any]) -> None:
    assert _manager is not None
    request = GenerationRequest.model_validate({"story_text": "A lamp."} | without(extra, GenerationRequest))
    session_id = _manager.create_session(request, metadata=extra)
    session = _manager.get_session(session_id)
    assert exact(session.metadata) == exact(extra)
    assert exact(session.request_data.model_extra) == exact(request.model_extra)


_manager: Any = None


@pytest.fixture(autouse=True)
def _one_manager_for_all_examples(open_manager: OpenManager) -> None:
    global _manager  # noqa: PLW0603 - examples share a store, which a fixture of theirs could not give them
    _manager = open_manager(durability="normal")


def without(extra: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Of the drawn fields those that the model does not declare."""
    return {name: value for name, value in extra.items() if name not in model.model_fields}


# Models of a backend's own


class Palette(BaseModel):
    """A nested model with an alias."""

    model_config = ConfigDict(extra="forbid")

    main_colour: str = Field(alias="mainColour")
    others: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def size(self) -> int:
        return 1 + len(self.others)


class Mood(Enum):
    DARK = 1
    BRIGHT = 2


class Comic(BaseModel):
    """A request with everything that a model can have, and no field of the store's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    page_count: int
    title_text: str = Field(serialization_alias="TITLE")
    author_name: str = Field(validation_alias=AliasChoices("author", "writer"))
    palette: Palette
    moods: frozenset[Mood] = frozenset()
    due: date | None = None
    made_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    price: Decimal = Decimal("1.10")
    order_id: UUID = UUID(int=7)
    shape: Annotated["Circle | Square", Field(discriminator="kind")] = Field(default_factory=lambda: Circle(radius=1))

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def panel_count(self) -> int:
        return 6 * self.page_count


class Circle(BaseModel):
    kind: Literal["circle"] = "circle"
    radius: float


class Square(BaseModel):
    kind: Literal["square"] = "square"
    side: float


Comic.model_rebuild()


def a_comic(**fields: Any) -> Comic:
    palette = Palette(mainColour="red", others=("blue", "green"))
    return Comic(**({"page_count": 3, "titleText": "Night", "author": "Ann", "palette": palette} | fields))


def test_aliases_computed_fields_and_rich_types_come_back_equal() -> None:
    comic = a_comic(moods={Mood.DARK, Mood.BRIGHT}, due=date(2026, 5, 1), shape=Square(side=0.1), price=Decimal("0.30"))
    back = there_and_back(comic)
    assert back == comic
    assert (back.panel_count, back.palette.size, back.price) == (18, 3, Decimal("0.30"))


def test_a_model_that_forbids_extra_fields_is_not_given_its_computed_ones() -> None:
    text = codec_for(Comic).encode_request(a_comic()).text
    assert "panel_count" not in text
    assert "size" not in text


def test_a_model_is_stored_by_its_field_names() -> None:
    text = codec_for(Comic).encode_request(a_comic()).text
    assert '"page_count":3' in text
    assert '"main_colour":"red"' in text
    assert "TITLE" not in text


def test_a_request_may_be_given_as_a_dictionary_by_alias() -> None:
    given_fields = {"pageCount": 2, "title_text": "Night", "writer": "Ann", "palette": {"mainColour": "red"}}
    codec = codec_for(Comic)
    back = codec.decode_request(codec.encode_request(given_fields).text)
    assert (back.page_count, back.author_name, back.palette.main_colour) == (2, "Ann", "red")  # type: ignore[attr-defined]


class Strict(BaseModel):
    """A model that converts nothing."""

    model_config = ConfigDict(strict=True)

    mood: Mood
    due: datetime
    pages: tuple[int, ...]


def test_a_strict_model_comes_back_equal() -> None:
    strict = Strict(mood=Mood.DARK, due=datetime(2026, 1, 1, tzinfo=UTC), pages=(1, 2))
    assert there_and_back(strict) == strict


class Weird(BaseModel):
    """A model whose validators add to what they are given."""

    story: str
    length: int = 0

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given_value: Any) -> Any:
        return {"story": given_value["story"], "length": len(given_value["story"])}

    @field_validator("story")
    @classmethod
    def _capital(cls, story: str) -> str:
        return story.capitalize()


def test_validators_see_on_the_way_back_what_they_made() -> None:
    weird = Weird(story="once")
    assert there_and_back(weird) == weird


class Sub(GenerationRequest):
    """A subclass with a field of its own."""

    style: str = "ink"


def test_fields_of_a_subclass_are_kept_by_its_base() -> None:
    back = there_and_back(Sub(story_text="A lamp.", style="oil"), GenerationRequest)
    assert type(back) is GenerationRequest
    assert back.model_extra == {"style": "oil"}


class Secretive(BaseModel):
    """A request with a value that hides itself when it is written."""

    token: SecretStr


def test_a_value_that_hides_itself_is_refused_rather_than_replaced_by_stars() -> None:
    with pytest.raises(ValueError, match="request") as caught:
        codec_for(Secretive).encode_request(Secretive(token=SecretStr("hunter2")))
    assert "hunter2" not in str(caught.value)


class Measured(BaseModel):
    """A request with numbers that JSON may not hold."""

    weight: float = 0.0
    count: int = 0


@pytest.mark.parametrize(
    "fields", [{"weight": float("nan")}, {"weight": float("inf")}, {"count": 2**63}, {"count": -(2**70)}], ids=str
)
def test_numbers_of_typed_fields_are_bound_to_what_json_holds_too(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"request\.(weight|count)"):
        codec_for(Measured).encode_request(Measured(**fields))


# The columns


def test_media_type_and_number_of_scenes_become_columns_when_the_model_has_them() -> None:
    encoded = codec_for().encode_request(GenerationRequest(story_text="x", media_type=MediaType.CARTOON, num_scenes=3))
    assert (encoded.media_type, encoded.num_scenes) == ("cartoon", 3)
    without_them = codec_for(Comic).encode_request(a_comic())
    assert (without_them.media_type, without_them.num_scenes) == (None, None)


class Numbered(BaseModel):
    """A scene model of a backend's own."""

    scene_number: int = Field(alias="n")
    frames: list[bytes] = []


def test_a_scene_number_behind_an_alias_is_found() -> None:
    codec = codec_for(scene_model=Numbered)
    scene = Numbered(n=4, frames=[b"a", b"b"])
    encoded = codec.encode_scene(scene)
    assert encoded.scene_number == 4
    assert codec.decode_scene(encoded.text) == scene


def test_requests_are_the_same_whatever_the_order_of_their_fields() -> None:
    codec = codec_for()
    one, other = (
        codec.encode_request({"story_text": "x", **extra}) for extra in ({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    )
    assert codec.is_same_request(one.text, other)
    assert not codec.is_same_request(one.text, codec.encode_request({"story_text": "x", "a": True, "b": [2]}))
