"""Which values can be kept as JSON and come back the same on every engine.

SQLite turns NaN into NULL and integers beyond 64 bits into floats, lone surrogates fail late in the driver,
and PostgreSQL refuses NUL in text. So each value is looked at before any work is done, and refused by the
path that leads to it, never by repeating it.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from pydantic_core import to_json

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
# Deeper than any hand-made document, and far from the interpreter's recursion limit.
MAX_DEPTH = 64
MAX_NAME = 64


def checked_text(value: object, name: str, max_bytes: int) -> str:
    """`value`, when it is text that a TEXT column can hold.

    Raises:
        TypeError: when it is no text.
        ValueError: when it holds NUL or a lone surrogate, or is longer than `max_bytes` in UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} must not hold NUL characters")
    if not _is_text(value):
        raise ValueError(f"{name} holds a lone surrogate, which is no valid text")
    _check_size(len(value.encode()), name, max_bytes)
    return value


def json_text(document: Any, name: str, max_bytes: int) -> str:
    """`document` as compact JSON text.

    Raises:
        ValueError: naming the path to the first value that is no JSON, is not finite, is an integer beyond
            64 bits, holds a lone surrogate or is nested too deep; or when the whole is over `max_bytes`.
    """
    fault = _fault_in(document, MAX_DEPTH)
    if fault is not None:
        path, complaint = fault
        raise ValueError(f"{name}{path} {complaint}")
    encoded = to_json(document)
    _check_size(len(encoded), name, max_bytes)
    return encoded.decode()


# Where in a document, as the end of a path, and what is wrong there.
Fault = tuple[str, str]


def _fault_in(value: Any, depth: int) -> Fault | None:
    """The first fault. Paths are put together on the way out: most documents have none, and are written often."""
    fault: Fault | None = None
    if isinstance(value, str):
        if not _is_text(value):
            fault = "", "holds a lone surrogate, which is no valid text"
    elif value is None or isinstance(value, bool):
        pass
    elif isinstance(value, int | float):
        fault = _fault_of_number(value)
    elif not isinstance(value, Mapping | list | tuple):
        fault = "", f"is a {type(value).__name__}, which is no JSON; convert it first"
    elif depth == 0:
        fault = "", f"is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, Mapping):
        fault = _fault_of_items(value, depth - 1)
    else:
        fault = _fault_of_elements(value, depth - 1)
    return fault


def _fault_of_elements(elements: list[Any] | tuple[Any, ...], depth: int) -> Fault | None:
    for index, element in enumerate(elements):
        fault = _fault_in(element, depth)
        if fault is not None:
            return f"[{index}]{fault[0]}", fault[1]
    return None


def _fault_of_items(mapping: Mapping[Any, Any], depth: int) -> Fault | None:
    for key, item in mapping.items():
        if not isinstance(key, str):
            return "", f"has a key of type {type(key).__name__}; JSON keys are text"
        if not _is_text(key):
            return "", "has a key with a lone surrogate, which is no valid text"
        fault = _fault_in(item, depth)
        if fault is not None:
            # A key may be as long as it likes, and is a value of somebody's: only names are repeated.
            step = f".{key}" if key.isidentifier() and len(key) <= MAX_NAME else "[...]"
            return step + fault[0], fault[1]
    return None


def _fault_of_number(value: float) -> Fault | None:
    if isinstance(value, float):
        return None if isfinite(value) else ("", "is NaN or infinite, which JSON cannot hold; use null or text")
    if SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        return None
    return "", "is an integer beyond 64 bits; store it as text"


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"{name} has {size:,} bytes; the limit is {max_bytes:,} (setting max_payload_bytes)")
