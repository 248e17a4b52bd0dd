"""Hands one value in at one place, and looks whether all that is promised of it holds."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sessionstore.operations.copies import MAX_PATH_BYTES
from tests.bad_input.conftest import SECRET
from tests.faults.values.hostile import HostileError
from tests.faults.values.other_places import OTHER_PLACES
from tests.faults.values.places import PLACES, Place
from tests.faults.values.stage import Stage, assert_refused_in_words

EVERYWHERE: dict[str, Place] = PLACES | OTHER_PLACES
REFUSED, ACCEPTED = "refused", "accepted"


def examine(stage: Stage, place: Place, make: Callable[[], Any]) -> str:
    """Refused in words, or taken as it is; and nothing else changed. Says which."""
    value = make()
    stage.heard()
    error = _error_of(lambda: place.act(stage, value))
    # An id that could be one is named where there is none such; no other value ever is.
    may_name = place.names and _may_be_named(value)
    logged = stage.heard()
    try:
        if error is None:
            if place.read is not None and stage.session_is_there():
                assert as_json(place.read(stage)) == as_json(place.means(value))
        elif not (place.asks and isinstance(error, HostileError | RecursionError)):
            assert_refused_in_words(error, may_name=may_name)
        if not may_name:
            assert SECRET not in logged
    finally:
        stage.assert_unharmed()
        stage.clear()
    return ACCEPTED if error is None else REFUSED


def as_json(value: Any) -> str:
    """The value, told apart from all that Python takes for equal: True from 1, 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


def _error_of(act: Callable[[], object]) -> Exception | None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - it is looked at
        return error
    return None


def _may_be_named(value: object) -> bool:
    """Whether it is an id, or several; or a path."""
    if isinstance(value, Path | Iterator):
        return True
    each = value if isinstance(value, list | tuple | set) else [value]
    return all(_is_short_text(one) for one in each)


def _is_short_text(value: Any) -> bool:
    return issubclass(type(value), str) and 1 <= str.__len__(value) <= MAX_PATH_BYTES
