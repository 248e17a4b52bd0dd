"""Values that cannot be stored, each with the reason as its name."""

from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from tests.bad_input.conftest import SECRET

TEN_MEGABYTES = SECRET + "x" * 10_000_000


def nested(levels: int) -> Any:
    """Lists in lists."""
    document: Any = SECRET
    for _ in range(levels):
        document = [document]
    return document


def circular() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


# Where a JSON document goes.
NO_JSON = [
    pytest.param(float("nan"), id="nan"),
    pytest.param(float("inf"), id="infinity"),
    pytest.param(float("-inf"), id="minus infinity"),
    pytest.param(2**63, id="integer beyond 64 bits"),
    pytest.param(-(2**63) - 1, id="negative integer beyond 64 bits"),
    pytest.param(f"{SECRET}\ud800", id="lone surrogate"),
    pytest.param({f"{SECRET}\udfff": 1}, id="key with a lone surrogate"),
    pytest.param(TEN_MEGABYTES, id="10 MB text"),
    pytest.param([float("nan")], id="nan in a list"),
    pytest.param({"x" * 1_000_000: float("nan")}, id="nan under a long key"),
    pytest.param(nested(65), id="nested 65 deep"),
    pytest.param(nested(5_000), id="nested 5,000 deep"),
    pytest.param(circular(), id="inside itself"),
]

# What only metadata has to refuse: a pydantic model turns most of them into JSON by itself.
NO_JSON_TYPES = [
    pytest.param(object(), id="object"),
    pytest.param({SECRET}, id="set"),
    pytest.param(SECRET.encode(), id="bytes"),
    pytest.param(datetime(2026, 1, 1, tzinfo=UTC), id="datetime"),
    pytest.param(Decimal("1.5"), id="decimal"),
    pytest.param({1: SECRET}, id="key that is no text"),
    pytest.param(MappingProxyType({"a": object()}), id="object in a mapping"),
]

BAD_IDS = [
    pytest.param("", id="empty"),
    pytest.param("x" * 256, id="too long"),
    pytest.param(TEN_MEGABYTES, id="10 MB"),
    pytest.param(f"{SECRET}\0", id="nul"),
    pytest.param(f"{SECRET}\n", id="line break"),
    pytest.param(f"{SECRET}\ud800", id="lone surrogate"),
    pytest.param(None, id="none"),
    pytest.param(7, id="number"),
    pytest.param(SECRET.encode(), id="bytes"),
    pytest.param([SECRET], id="list"),
]

# Where a text goes.
BAD_TEXTS = [
    pytest.param(f"{SECRET}\ud800", id="lone surrogate"),
    pytest.param(f"{SECRET}\0", id="nul"),
    pytest.param(TEN_MEGABYTES, id="10 MB"),
    pytest.param(7, id="number"),
    pytest.param(SECRET.encode() + b"\xff", id="bytes"),
    pytest.param([SECRET], id="list"),
]

BAD_STATUSES = [
    pytest.param("lost", id="unknown"),
    pytest.param("PENDING", id="upper case"),
    pytest.param(TEN_MEGABYTES, id="10 MB"),
    pytest.param("\ud800", id="lone surrogate"),
    pytest.param(7, id="number"),
    pytest.param([SECRET], id="list"),
]
