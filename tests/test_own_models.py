"""A backend's own models, with everything that pydantic has: stored, and returned equal."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from sessionstore import GenerationRequest
from tests.test_codec import codec_for, there_and_back


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


def test_a_model_without_them_leaves_the_columns_of_reports_empty() -> None:
    encoded = codec_for(Comic).encode_request(a_comic())
    assert (encoded.media_type, encoded.num_scenes) == (None, None)


class Whisper(str):
    """Text that has itself written as something else."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(SecretStr)
        )


class Optionally(BaseModel):
    x: Annotated[int, PlainSerializer(lambda value: float("inf"))] | None = None


class Hidden(BaseModel):
    x: Annotated[str, PlainSerializer(SecretStr)] | None = None


class Whispered(BaseModel):
    x: Whisper


@pytest.mark.parametrize("model", [Optionally(x=1), Hidden(x="a"), Whispered(x=Whisper("a"))], ids=repr)
def test_what_a_serializer_deep_in_a_model_writes_is_looked_at_too(model: BaseModel) -> None:
    with pytest.raises(ValueError, match=r"request\.x (is NaN or infinite|hides its value)"):
        codec_for(type(model)).encode_request(model)


def test_a_model_may_name_another_that_is_defined_after_the_store_was_opened() -> None:
    undefined: Any = ("Late", ...)
    early: Any = create_model("Early", part=undefined)
    codec = codec_for(early)
    early.model_rebuild(_types_namespace={"Late": create_model("Late", n=(int, ...))})
    assert codec.encode_request({"part": {"n": 1}}).text == '{"part":{"n":1}}'
