"""What is kept of an exception: text that any column can hold, whatever the exception has to say."""

MAX_MESSAGE_CHARACTERS = 2000
MAX_VALUE_CHARACTERS = 200


def message_of(error: BaseException, max_bytes: int | None = None) -> str:
    """The message, or the type's name when there is none; cut to 2,000 characters, and `max_bytes` of UTF-8.

    NUL and lone surrogates, which no column can hold, become their escapes.
    """
    name = type(error).__name__
    try:
        text = str(error).strip() or name
    except Exception:  # noqa: BLE001 - an exception that cannot tell is no reason to lose it
        text = f"{name}, which cannot tell its message"
    return _storable(text).encode()[:max_bytes].decode("utf-8", "ignore")


def repr_of(value: object) -> str:
    """As Python shows it, cut to 200 characters; or of what type it is, when that cannot be shown."""
    try:
        return _storable(repr(value)[:MAX_VALUE_CHARACTERS])
    except Exception:  # noqa: BLE001 - what somebody returned is no reason to lose a call
        return f"a {type(value).__name__}, which cannot be shown"


def _storable(text: str) -> str:
    escaped = text[:MAX_MESSAGE_CHARACTERS].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    return escaped[:MAX_MESSAGE_CHARACTERS]
