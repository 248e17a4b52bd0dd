"""Which values can be kept as JSON and come back the same on every engine.

SQLite turns NaN into NULL and integers beyond 64 bits into floats, lone surrogates fail late in the driver,
and PostgreSQL refuses NUL in text. So each value is looked at before any work is done, and refused by the
path that leads to it, never by repeating it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from math import isfinite
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from sessionstore.exact import exact_text
from sessionstore.identifiers import name_in_message

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
TOO_DEEP = "is nested deeper"
NOT_FINITE = "is NaN or infinite, which JSON cannot hold; use null or text"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one document may hold, and a session of scenes: the settings `max_payload_...` and `max_scenes`."""

    bytes: int
    depth: int
    scenes: int


def checked_text(value: object, name: str, max_bytes: int) -> str:
    """`value` as plain text, when a TEXT column can hold it.

    Raises:
        TypeError: when it is no text.
        ValueError: when it holds NUL or a lone surrogate, or is longer than `max_bytes` in UTF-8.
    """
    text = exact_text(value, name)
    if "\0" in text:
        raise ValueError(f"{name} must not hold NUL characters")
    if text.isascii():
        size = len(text)
    elif _is_text(text):
        size = len(text.encode())
    else:
        raise ValueError(f"{name} holds a lone surrogate, which is no valid text")
    if size > max_bytes:
        _check_size(size, name, max_bytes)
    return text


def json_text(document: Any, name: str, limits: Limits) -> str:
    """A document of plain values as compact JSON text.

    Raises:
        ValueError: naming the path to the first value that is no JSON, is not finite, is an integer beyond
            64 bits, holds a lone surrogate or is nested too deep; or when the whole is too large.
    """
    _refuse(_fault_in(document, limits.depth, only_json=True), name, limits)
    encoded = to_json(document)
    _check_size(len(encoded), name, limits.bytes)
    return encoded.decode()


def model_text(model: BaseModel, name: str, limits: Limits) -> str:
    """A model as compact JSON text: by field name, without computed fields, values of other types its own way.

    Raises:
        ValueError: as `json_text` does; pydantic itself would write NaN as null, and anything of any size.
    """
    serializer = model.__pydantic_serializer__
    if _is_plain(model):
        with suppress(ValueError):
            encoded = serializer.to_json(model, **_AS_STORED)
            if len(encoded) <= limits.bytes:
                return encoded.decode()
    try:
        document = serializer.to_python(model, **_AS_STORED)
        fault = _fault_in(document, limits.depth, only_json=False)
        text = "" if fault else serializer.to_json(model, **_AS_STORED).decode()
    except (ValueError, RecursionError):
        # Without the error itself, which may repeat the value.
        raise ValueError(f"{name} holds a value that pydantic cannot write as JSON; convert it first") from None
    _refuse(fault, name, limits)
    size = len(text) if text.isascii() else len(text.encode())
    if size > limits.bytes:
        largest = max(document, key=lambda field: len(str(document[field])))
        _check_size(size, f"{name} (mostly {name_in_message(largest)})", limits.bytes)
    return text


def _is_plain(model: BaseModel) -> bool:
    """Whether nothing in it can be written wrongly: short of other types, there is no NaN, nesting or hidden value.

    As most models are; looking through the whole document would cost twice what writing it does.
    """
    for value in model.__dict__.values():
        if type(value) is str or value is None or isinstance(value, StrEnum):
            continue
        if type(value) not in (int, bool) or not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            return False
    return not model.__pydantic_extra__ and _is_written_as_declared(type(model))


@cache
def _is_written_as_declared(model: type[BaseModel]) -> bool:
    """Whether nowhere in the model a serializer of somebody's own comes in between."""
    return not _has_serializer(model.__pydantic_core_schema__)


def _has_serializer(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        own = schema.get("serialization")
        is_own = isinstance(own, Mapping) and str(own.get("type")).startswith("function")
        return is_own or any(_has_serializer(each) for each in schema.values())
    return isinstance(schema, list | tuple) and any(_has_serializer(each) for each in schema)


_AS_STORED: Any = {"round_trip": True, "by_alias": False, "warnings": False}


def _refuse(fault: "Fault | None", name: str, limits: Limits) -> None:
    if fault is not None:
        path, complaint = fault
        if complaint is TOO_DEEP:
            path, complaint = "", f"{complaint} than {limits.depth} levels (setting max_payload_depth)"
        raise ValueError(f"{name}{path} {complaint}")


# Where in a document, as the end of a path, and what is wrong there.
Fault = tuple[str, str]


def _fault_in(value: Any, depth: int, only_json: bool) -> Fault | None:
    """The first fault. Paths are put together on the way out: most documents have none, and are written often."""
    fault: Fault | None = None
    # The type is asked, not the value: a proxy says that it is what it stands for.
    kind = type(value)
    if issubclass(kind, str):
        if not _is_text(value):
            fault = "", "holds a lone surrogate, which is no valid text"
    elif value is None or kind is bool:
        pass
    elif issubclass(kind, int | float):
        fault = _fault_of_number(value)
    elif not issubclass(kind, Mapping | list | tuple):
        if hasattr(value, "get_secret_value"):
            fault = "", "hides its value, and only stars would be stored; use a plain type"
        elif isinstance(value, Iterator):
            fault = "", "is an iterator, which may never end; make it a list"
        elif only_json:
            fault = "", f"is a {kind.__name__}, which is no JSON; convert it first"
    elif depth == 0:
        fault = "", TOO_DEEP
    elif issubclass(kind, Mapping):
        fault = _fault_of_items(value, depth - 1, only_json)
    else:
        fault = _fault_of_elements(value, depth - 1, only_json)
    return fault


def _fault_of_elements(elements: Iterable[Any], depth: int, only_json: bool) -> Fault | None:
    for index, element in enumerate(elements):
        fault = _fault_in(element, depth, only_json)
        if fault is not None:
            return f"[{index}]{fault[0]}", fault[1]
    return None


def _fault_of_items(mapping: Mapping[Any, Any], depth: int, only_json: bool) -> Fault | None:
    for key, item in mapping.items():
        # What most fields are made of, without a call for each.
        if type(key) is str and key.isascii() and (item is None or (type(item) is str and item.isascii())):
            continue
        if not isinstance(key, str):
            if not only_json:
                continue
            return "", f"has a key of type {type(key).__name__}; JSON keys are text"
        if not _is_text(key):
            return "", "has a key with a lone surrogate, which is no valid text"
        fault = _fault_in(item, depth, only_json)
        if fault is not None:
            return f".{name_in_message(key)}{fault[0]}", fault[1]
    return None


def _fault_of_number(value: float) -> Fault | None:
    if isinstance(value, float):
        return None if isfinite(float.__float__(value)) else ("", NOT_FINITE)
    if SMALLEST_INTEGER <= int.__int__(value) <= LARGEST_INTEGER:
        return None
    return "", "is an integer beyond 64 bits; store it as text"


def _is_text(value: str) -> bool:
    # By the methods of text itself, whatever a subclass makes of them.
    if str.isascii(value):
        return True
    try:
        str.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"{name} has {size:,} bytes; the limit is {max_bytes:,} (setting max_payload_bytes)")
