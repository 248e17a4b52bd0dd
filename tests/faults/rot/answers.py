"""Everything that the reading methods of a store answer, and how an answer compares with the right one."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sessionstore import GenerationStatus, SessionManager
from sessionstore.errors import SessionManagerError
from tests.concurrency import engine_of

# The right answers, each by the question that it answers.
Answers = dict[str, Any]
# Of an answer that is a list, the parts are compared one by one, so that what is missing is told from what is wrong.
RIGHT, REFUSED, MISSING, WRONG = "right", "refused", "missing", "wrong"


def opened(database: Path) -> SessionManager:
    """A manager that does nothing by itself."""
    return SessionManager(
        None,
        database_url=f"sqlite:///{database}",
        durability="normal",
        cleanup_interval=None,
        recovery_interval=None,
        summary_interval=None,
    )


def questions(manager: SessionManager, session_ids: list[str]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is asked of a store: each session by every way that leads to it."""
    for session_id in session_ids:
        yield f"get {session_id}", partial(_session, manager, session_id)
        yield f"tombstone {session_id}", partial(_tombstone, manager, session_id)
        yield f"timeline {session_id}", partial(_timeline, manager, session_id)
    for status in GenerationStatus:
        yield f"by status {status}", partial(_by_status, manager, status)
    yield "page", lambda: _listed(manager.list_sessions(limit=1000).sessions)
    yield "infos", lambda: [_info(each) for each in manager.get_all_sessions_info()]
    yield "held", lambda: _listed(manager.list_held_calls())


def right_answers(manager: SessionManager, session_ids: list[str]) -> Answers:
    """The answers of a store that is sound."""
    return {question: ask() for question, ask in questions(manager, session_ids)}


def compare(manager: SessionManager, right: Answers, session_ids: list[str]) -> dict[str, str]:
    """How each answer compares with the right one; only refusals by an error of the store's own are none."""
    found = {}
    for question, ask in questions(manager, session_ids):
        try:
            found[question] = _verdict(ask(), right[question])
        except SessionManagerError:
            found[question] = REFUSED
    return found


def is_found(manager: SessionManager) -> bool:
    """Whether the doctor has something to say, or a row is another than was signed, or cannot be read."""
    if any(finding.severity == "error" for finding in manager.check()):
        return True
    try:
        return bool(engine_of(manager).read(lambda unit: next(unit.soundness.damaged_rows(), None)))
    except SessionManagerError:
        return True


def _verdict(answer: Any, right: Any) -> str:
    if answer == right:
        return RIGHT
    if answer is None or answer == "absent":
        return MISSING
    if isinstance(answer, list) and isinstance(right, list) and not Counter(answer) - Counter(right):
        in_order = [each for each in right if each in answer]
        return MISSING if answer == in_order else WRONG
    return WRONG


def _session(manager: SessionManager, session_id: str) -> str | None:
    return told(manager.get_session(session_id))


def _tombstone(manager: SessionManager, session_id: str) -> str | None:
    return told(manager.find_tombstone(session_id))


def _by_status(manager: SessionManager, status: GenerationStatus) -> list[str]:
    return _listed(manager.get_sessions_by_status(status))


def told(model: Any) -> str | None:
    """A model as text, to be compared."""
    # An access is written behind, and what is only computed depends on the time.
    return None if model is None else str(model.model_dump_json(exclude={"last_accessed"}, round_trip=True))


def _listed(models: list[Any]) -> list[str]:
    return [str(told(model)) for model in models]


def _info(info: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in info.items() if name not in {"age_hours", "last_accessed"}})


def _timeline(manager: SessionManager, session_id: str) -> Any:
    try:
        return [repr(row) for row in manager.report("timeline", session_id=session_id).rows]
    except ValueError:
        return "absent"
