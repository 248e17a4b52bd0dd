"""The values, each by what is wrong with it; made anew for each call, since some are used up."""

import collections
import enum
import itertools
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from tests.bad_input.conftest import SECRET
from tests.bad_input.values import BAD_IDS, BAD_STATUSES, BAD_TEXTS, NO_JSON, NO_JSON_TYPES

# Each is data to a statement that takes it as a parameter, and an order to one that is put together from text.
SQL_FRAGMENTS = [
    "'; DROP TABLE sessions; --",
    "' OR 1=1 --",
    '" OR ""="',
    "%",
    "_",
    "*",
    "x'); DELETE FROM scenes; --",
    "' UNION SELECT sql FROM sqlite_schema --",
    "NULL",
    ":id",
    "?",
    "\\'",
    "a' || (SELECT request_data FROM sessions) || 'b",
]

OTHER_TEXTS = {
    "blank": " ",
    "tab and line break": f"{SECRET}\t\n",
    "python format": "{0.__class__.__mro__}{}{x!r:>9}",
    "c format": "%s%s%n%(a)d%",
    "template": "${jndi:ldap://x/}{{7*7}}$(id)`id`",
    "clears the screen": f"\x1b[2J\x1b]0;{SECRET}\x07",
    "orders in one byte": f"\x9b31m{SECRET}\x9c",
    "backspaces": f"{SECRET}\b\b\r",
    "right to left": f"\u202e{SECRET}\u2066",
    "zero width": f"{SECRET}\u200b\u200d\ufeff",
    "family": "\U0001f469\u200d\U0001f467 \U0001f1ea\U0001f1fa",
    "not normalised": "e\u0301 \u00e9 \u212b \ufb01",
    "line separators": f"a\u2028{SECRET}\u2029\x85\x0b\x0c\x1c",
    "digits of another script": "\u0661\u0662",
    "no characters": "\ufffe\uffff\U0010ffff",
    "upwards": "../../../../etc/passwd",
    "home of nobody": "~nobody-has-this-name/x",
    "device": "/dev/null",
    "markup": f"[bold]{SECRET}[/bold]<script>",
    "json": '{"scene_number": 1}',
    "number as text": "5",
    "at the limit of ids": "x" * 255,
    "of a megabyte": SECRET + "y" * 1_100_000,
}

NUMBERS = [True, False, 0, -1, -0.0, 1.5, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 10**400, 1e308, 5e-324, Decimal("NaN")]


class HostileError(Exception):
    """What the methods of a hostile object raise."""

    def __init__(self, *_: object) -> None:
        super().__init__(SECRET)


def _refuse(*_: object, **__: object) -> Any:
    raise HostileError


# What anything may be asked, and by code that means no harm: by printing it, comparing it, or putting it into a set.
_METHODS = (
    *("__str__", "__repr__", "__eq__", "__ne__", "__hash__", "__bool__", "__format__", "__lt__", "__le__", "__gt__"),
    *("__ge__", "__index__", "__fspath__", "__conform__"),
)


def hostile_kind(base: type) -> type:
    """A subclass of `base` that refuses to be printed, compared, hashed or tested."""
    return type(f"Hostile{base.__name__.title()}", (base,), dict.fromkeys(_METHODS, _refuse))


HostileObject, HostileText, HostileInteger = hostile_kind(object), hostile_kind(str), hostile_kind(int)
HostileFloat, HostileList, HostileDict = hostile_kind(float), hostile_kind(list), hostile_kind(dict)


class Impostor:
    """Says that it is text."""

    __class__ = str  # type: ignore[assignment]  # the lie


class Lookalike(BaseModel):
    """A model that nobody asked for."""

    story_text: str = SECRET
    scene_number: int = 1


class Text(enum.StrEnum):
    MEMBER = "an enumerated text"


class Number(enum.IntEnum):
    MEMBER = 3


@dataclass
class Record:
    text: str = SECRET


def dict_in_itself() -> dict[str, Any]:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    return ring


def generator() -> Iterator[str]:
    yield SECRET


def _kept(parameters: list[Any]) -> dict[str, Callable[[], Any]]:
    return _plain({str(each.id): each.values[0] for each in parameters})


def _plain(values: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {name: partial(_given, value) for name, value in values.items()}


def _given(value: Any) -> Any:
    return value


VALUES: dict[str, Callable[[], Any]] = {
    **_kept(BAD_STATUSES + BAD_IDS + BAD_TEXTS + NO_JSON_TYPES + NO_JSON),
    **_plain({f"SQL {fragment}": fragment for fragment in SQL_FRAGMENTS}),
    **_plain(OTHER_TEXTS),
    **_plain({repr(number)[:24]: number for number in NUMBERS}),
    "hostile object": HostileObject,
    "hostile text": lambda: HostileText("hostile"),
    "hostile integer": lambda: HostileInteger(5),
    "hostile float": lambda: HostileFloat(5.5),
    "hostile list": lambda: HostileList([SECRET]),
    "hostile dict": lambda: HostileDict({"story_text": SECRET}),
    "impostor": Impostor,
    "member of a text enum": lambda: Text.MEMBER,
    "member of an integer enum": lambda: Number.MEMBER,
    "ordered dict": lambda: collections.OrderedDict(b=1, a=[None]),
    "default dict": lambda: collections.defaultdict(list, {"a": [1]}),
    "counter": lambda: collections.Counter("aab"),
    "empty list": list,
    "empty dict": dict,
    "empty tuple": tuple,
    "nested dicts": lambda: {"a": {"b": {"c": [{}, {"": None}]}}},
    "dict in itself": dict_in_itself,
    "generator": generator,
    "endless": itertools.count,
    "bytearray": lambda: bytearray(SECRET.encode()),
    "memoryview": lambda: memoryview(SECRET.encode()),
    "naive datetime": lambda: datetime(2026, 1, 1),  # noqa: DTZ001 - the point
    "before the calendar": lambda: datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    "beyond the calendar": lambda: datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    "datetime now": lambda: datetime(2026, 1, 1, 12, tzinfo=UTC),
    "date": lambda: date(2026, 1, 1),
    "duration": lambda: timedelta(days=1),
    "uuid": lambda: uuid.UUID(int=7),
    "path": lambda: Path("..") / SECRET,
    "secret": lambda: SecretStr(SECRET),
    "model of another kind": Lookalike,
    "class of a model": lambda: Lookalike,
    "record": Record,
    "exception": lambda: ValueError(SECRET),
    "function": lambda: len,
    "module": lambda: string,
    "complex": lambda: 1 + 2j,
    "frozen set": lambda: frozenset({1}),
    "ellipsis": lambda: ...,
}
