"""What a caller hands in, as plain values: the methods of a subclass, and what a proxy says it is, count for nothing.

Text that compares, hashes or prints in a way of its own would do so inside the store, long after the call.
"""

import math


def exact_text(value: object, name: str) -> str:
    """`value` as plain text; `name` is who gets the blame.

    Raises:
        TypeError: when it is no text.
    """
    if type(value) is str:
        return value
    if not issubclass(type(value), str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    return str.__str__(value)


def exact_integer(value: object) -> int | None:
    """`value` as a plain integer; None for what is none, as True is none."""
    kind = type(value)
    if kind is bool or not issubclass(kind, int):
        return None
    return int.__int__(value)  # type: ignore[arg-type]  # so its type says


def exact_number(value: object) -> float | None:
    """`value` as a plain float, an enormous integer as infinity; None for what is no number, as True is none."""
    if issubclass(type(value), float):
        return float.__float__(value)  # type: ignore[arg-type]  # so its type says
    integer = exact_integer(value)
    if integer is None:
        return None
    try:
        return float(integer)
    except OverflowError:
        return math.inf if integer > 0 else -math.inf
