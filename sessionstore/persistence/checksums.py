"""Checksums of rows: what is damaged on disk is noticed when it is read, for SQLite itself notices little of it.

A checksum is the CRC-32 that zlib computes, from 0 to 4294967295. `sessions` has three: `metadata_checksum` and
`request_checksum` are those of one text in UTF-8; `state_checksum` is that of all columns before it. The other tables
have `checksum`, over all columns but a number that counts the rows. Several columns are written as a compact JSON
array, in their order: instants as `YYYY-MM-DD HH:MM:SS.mmm`, truth values as 0 and 1. The payload of a scene is not in
the array but follows it, as it is. NULL is that of a row that nobody has signed yet: there is nothing to verify.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zlib import crc32

from pydantic_core import to_json
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    case,
    cast,
    func,
    type_coerce,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.types import NullType

from sessionstore.persistence.columns import Instant, instant_text

MISMATCH = "does not match its checksum"


def checksum_of(values: Sequence[Any], text: str = "") -> int:
    """The checksum of values as they are stored, followed by a text."""
    # What SQLite gives as bytes where there was text is damage, though the bytes are the same.
    first = crc32(to_json(values, bytes_mode="base64"))
    return crc32(text.encode(), first) if text else first


def text_checksum(text: str) -> int:
    """The checksum of one text."""
    return crc32(text.encode())


def is_sound(checksum: object, values: Sequence[Any], text: object = "") -> bool:
    """Whether a checksum, if there is one, is that of these values and the text."""
    if checksum is None:
        return True
    try:
        return isinstance(text, str) and checksum == checksum_of(values, text)
    except ValueError:
        return False


def is_sound_text(checksum: object, text: object) -> bool:
    """Whether a checksum, if there is one, is that of this text."""
    return checksum is None or (isinstance(text, str) and checksum == crc32(text.encode()))


def stored(value: Any) -> Any:
    """A value as it stands in its column."""
    if isinstance(value, datetime):
        return instant_text(value)
    return int(value) if isinstance(value, bool) else value


def as_stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, to be selected or bound as it stands there."""
    kind = Text() if isinstance(column.type, Instant) else Integer() if isinstance(column.type, Boolean) else None
    return column if kind is None else type_coerce(column, kind).label(column.key)


def bound_as_stored(columns: ReadOnlyColumnCollection[str, Column[Any]], names: Iterable[str]) -> dict[str, Any]:
    """What a statement sets these columns to: parameters of their names, given as they are to stand there."""
    return {name: bindparam(name, type_=as_stored(columns[name]).type) for name in names}


def as_bytes(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """As `as_stored`, with bytes for text, for what is no UTF-8 any more can only be read so; bytes come in hex."""
    kind = func.typeof(column)
    given = case((kind == "text", cast(column, LargeBinary())), (kind == "blob", func.hex(column)), else_=column)
    return type_coerce(given, NullType()).label(column.key)


def text_in(value: Any) -> Any:
    """The text that bytes are, if they are one."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def readable(value: object) -> object:
    """A value for people to read, whatever it is."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
