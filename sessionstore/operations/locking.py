"""Reading, changing and saving a session as one step that nobody gets in between."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

from sessionstore.errors import SessionNotFoundError
from sessionstore.identifiers import checked_identifier, name_in_message
from sessionstore.models import GenerationSession
from sessionstore.operations.changes import CHANGEABLE, absent, apply_changes, encode_changes
from sessionstore.operations.store import Store
from sessionstore.persistence.unit import UnitOfWork

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Of keys that somebody made up, so many are repeated.
MAX_NAMES = 5
Operation = Callable[[GenerationSession[Any, Any]], T]


def with_session_lock(store: Store, session_id: str, operation: Operation[T]) -> T:
    """Runs `operation` on the session and saves what it changed."""
    session_id = checked_identifier(session_id, "session_id")
    _require_callable(operation)
    return store.engine.write_alone(lambda unit: _operate(unit, session_id, operation))


def update_atomically(store: Store, session_id: str, updates: Mapping[str, Any]) -> bool:
    """Saves several fields together."""
    session_id = checked_identifier(session_id, "session_id")
    if not isinstance(updates, Mapping):
        raise TypeError(f"updates must be a dict, not {type(updates).__name__}")
    ignored = updates.keys() - CHANGEABLE
    if ignored:
        named = sorted(map(name_in_message, ignored))[:MAX_NAMES]
        logger.warning(
            "atomic_session_update ignores %d keys: %s; %s can change",
            len(ignored),
            ", ".join(named),
            sorted(CHANGEABLE),
        )
    changes = encode_changes(store.codec, updates)

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is not None:
            apply_changes(unit, session_id, current, changes)
        return current is not None

    return store.engine.write(work)


def update_in_bulk(store: Store, session_ids: Iterable[str], operation: Operation[object]) -> int:
    """Runs `operation` on each session, all in one transaction; one that fails is left as it was."""
    if isinstance(session_ids, str) or not isinstance(session_ids, Iterable):
        raise TypeError(f"session_ids must be a list of ids, not {type(session_ids).__name__}")
    most = store.settings.max_bulk_sessions
    wanted = [checked_identifier(session_id, "session_ids") for session_id in islice(session_ids, most + 1)]
    if len(wanted) > most:
        raise ValueError(f"session_ids: at most {most:,} at once (setting max_bulk_sessions); make several calls")
    _require_callable(operation)

    def work(unit: UnitOfWork) -> int:
        return sum(_succeeds(unit, session_id, operation) for session_id in wanted)

    return store.engine.write_alone(work)


def _succeeds(unit: UnitOfWork, session_id: str, operation: Operation[object]) -> bool:
    try:
        unit.nest(lambda unit: _operate(unit, session_id, operation))
    except Exception:
        logger.exception("bulk update left a session as it was", extra={"session_id": session_id})
        return False
    return True


def _operate(unit: UnitOfWork, session_id: str, operation: Operation[T]) -> T:
    session = unit.sessions.get(session_id)
    if session is None:
        raise absent(session_id)
    created_at, before = session.created_at, _written(session)
    result = operation(session)
    if (session.session_id, session.created_at) != (session_id, created_at):
        raise ValueError(f"session {session_id!r}: session_id and created_at cannot change; nothing was saved")
    after = _written(session)
    changed = {name: getattr(session, name) for name in CHANGEABLE if after[name] != before[name]}
    # Asked after the operation: calls of the manager inside it may have changed the state, or removed the session.
    current = unit.sessions.state(session_id)
    if changed and current is not None:
        apply_changes(unit, session_id, current, encode_changes(unit.codec, changed))
    elif changed:
        raise SessionNotFoundError(
            f"session {session_id!r} was removed by the operation, which also changed it; nothing was saved",
            session_id=session_id,
        )
    return result


def _require_callable(operation: object) -> None:
    if not callable(operation):
        raise TypeError(f"operation must be callable, not {type(operation).__name__}")


def _written(session: GenerationSession[Any, Any]) -> dict[str, Any]:
    """The changeable parts as JSON text, to be compared: to Python, 1 and true are equal.

    What cannot be written has no text and counts as changed; saving it then says what is wrong with it.
    """
    return {name: _text_or_none(getattr(session, name)) or object() for name in CHANGEABLE}


def _text_or_none(value: Any) -> bytes | None:
    try:
        if isinstance(value, BaseModel):
            return value.model_dump_json(round_trip=True, warnings=False).encode()
        if isinstance(value, Iterator):
            return None  # It may never end.
        if isinstance(value, list):
            return b",".join(_text_or_none(element) or b"?" for element in value) + b"]"
        return to_json(value, inf_nan_mode="constants")
    except (ValueError, RecursionError):
        return None
