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
    _check_string(value, name)
    _check_size(len(value.encode()), name, max_bytes)
    return value


def json_text(document: Any, name: str, max_bytes: int) -> str:
    """`document` as compact JSON text.

    Raises:
        ValueError: naming the path to the first value that is no JSON, is not finite, is an integer beyond
            64 bits, holds a lone surrogate or is nested too deep; or when the whole is over `max_bytes`.
    """
    _check(document, name, MAX_DEPTH)
    encoded = to_json(document)
    _check_size(len(encoded), name, max_bytes)
    return encoded.decode()


def _check(value: Any, path: str, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_string(value, path)
    elif isinstance(value, int | float):
        _check_number(value, path)
    elif depth == 0:
        raise ValueError(f"{path} is nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path} has a key of type {type(key).__name__}; JSON keys are text")
            _check_string(key, f"a key of {path}")
            _check(item, f"{path}.{key}" if key.isidentifier() else f"{path}[...]", depth - 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth - 1)
    else:
        raise ValueError(f"{path} is a {type(value).__name__}, which is no JSON; convert it first")


def _check_number(value: float, path: str) -> None:
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{path} is NaN or infinite, which JSON cannot hold; use null or text")
    elif not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError(f"{path} is an integer beyond 64 bits; store it as text")


def _check_string(value: str, path: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path} holds a lone surrogate, which is no valid text") from None


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"{name} has {size:,} bytes; the limit is {max_bytes:,} (setting max_payload_bytes)")
