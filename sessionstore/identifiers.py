"""Ids that are made here, and other keys that callers hand in."""

import os
from datetime import datetime

from sessionstore.exact import exact_text

MAX_IDENTIFIER_CHARACTERS = 255
# Of a field, a key or a setting: longer ones are not repeated in a message.
MAX_NAME_CHARACTERS = 64


def new_id(now: datetime) -> str:
    """A UUIDv7 for the instant `now`: sorts by time, and its 74 random bits cannot be guessed.

    Time-ordered, because random ids dirty random pages: they halve the write rate at 100,000 sessions.
    """
    time = f"{int(now.timestamp() * 1000) & (1 << 48) - 1:012x}"
    chance = os.urandom(10).hex()
    # One hexadecimal digit is the version, and two bits of another are the variant.
    variant = "89ab"[int(chance[0], 16) & 3]
    return f"{time[:8]}-{time[8:]}-7{chance[1:4]}-{variant}{chance[4:7]}-{chance[7:19]}"


def name_in_message(name: object) -> str:
    """A name that somebody made up, as a message may repeat it: whatever does not look like one may be a secret."""
    if type(name) is str and name.isidentifier() and len(name) <= MAX_NAME_CHARACTERS:
        return name
    return "[...]"


def checked_identifier(value: object, name: str) -> str:
    """`value` as plain text, when it can be stored and typed back on every database.

    Raises:
        TypeError: when it is no text.
        ValueError: when it is empty, longer than 255 characters, or holds what cannot be printed:
            NUL and other control characters, lone surrogates.
    """
    text = exact_text(value, name)
    if not 1 <= len(text) <= MAX_IDENTIFIER_CHARACTERS:
        raise ValueError(f"{name} must have 1 to {MAX_IDENTIFIER_CHARACTERS} characters, not {len(text)}")
    if not text.isprintable():
        raise ValueError(f"{name} must be printable: no NUL or other control characters, no lone surrogates")
    return text
