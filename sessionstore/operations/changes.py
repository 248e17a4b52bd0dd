"""How a session changes: what a change of status sets, and what each change leaves in the history.

The one place that decides it, for single updates, locked ones and bulk ones alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sessionstore.errors import SessionNotFoundError
from sessionstore.events import FINISH_ANNOUNCED_AS, EventType
from sessionstore.exact import exact_text
from sessionstore.models import GenerationStatus, RunOutcome
from sessionstore.persistence.codec import EncodedScene, SessionCodec
from sessionstore.persistence.repository import SessionState
from sessionstore.persistence.unit import UnitOfWork

# The fields of a session that its users may change; the others are the store's own.
CHANGEABLE = frozenset({"status", "request_data", "scenes", "progress", "error_message", "metadata"})

# How a change to one of these statuses, whoever makes it, ends the run that there is.
ENDS_RUN_AS = {
    GenerationStatus.PENDING: RunOutcome.RELEASED,
    GenerationStatus.COMPLETED: RunOutcome.COMPLETED,
    GenerationStatus.FAILED: RunOutcome.FAILED,
    GenerationStatus.CANCELLED: RunOutcome.CANCELLED,
}


@dataclass(slots=True)
class Changes:
    """Changes of one session, validated and encoded; None leaves a part as it is."""

    columns: dict[str, Any] = field(default_factory=dict)
    status: GenerationStatus | None = None
    scenes: list[EncodedScene] | None = None
    attempt: int | None = None


def status_from(value: object, name: str = "status") -> GenerationStatus:
    """A status, given as one or by its value; `name` is the argument that gets the blame.

    Raises:
        ValueError: for anything else.
    """
    try:
        return GenerationStatus(exact_text(value, name))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one of {', '.join(GenerationStatus)}") from None


def state_of(unit: UnitOfWork, session_id: str) -> SessionState:
    """The state of a session that must be there.

    Raises:
        SessionNotFoundError: when it is absent.
    """
    current = unit.sessions.state(session_id)
    if current is None:
        raise absent(session_id)
    return current


def absent(session_id: str) -> SessionNotFoundError:
    """What to say of a session that must be there and is not."""
    return SessionNotFoundError(
        f"there is no session {session_id!r}; find_tombstone() says whether there was one", session_id=session_id
    )


def encode_changes(codec: SessionCodec[Any, Any], fields: Mapping[str, Any]) -> Changes:
    """Validates new values of changeable fields.

    Raises:
        ValueError, TypeError: naming the field that cannot be stored.
    """
    changes = Changes()
    if "status" in fields:
        changes.status = status_from(fields["status"])
    if "scenes" in fields:
        changes.scenes = codec.encode_scenes(fields["scenes"])
    if "request_data" in fields:
        changes.columns |= codec.encode_request(fields["request_data"]).columns()
    if "progress" in fields:
        changes.columns |= codec.encode_progress(fields["progress"])
    if "metadata" in fields:
        changes.columns["metadata"] = codec.encode_metadata(fields["metadata"])
    if "error_message" in fields:
        changes.columns["error_message"] = codec.encode_error_message(fields["error_message"])
    return changes


def apply_changes(unit: UnitOfWork, session_id: str, current: SessionState, changes: Changes) -> None:
    """Saves `changes` of a session that is there, and records and announces what they amount to."""
    status, columns = changes.status, changes.columns
    # What happens, and what it says for the reports.
    events: dict[EventType, dict[str, Any]] = {}
    if changes.scenes is not None:
        events[EventType.SCENES_SET] = {"scene_count": unit.scenes.replace_all(session_id, changes.scenes)}
    if columns.keys() - {"error_message"} or (columns and status is None):
        events[EventType.UPDATED] = {}
    if changes.scenes is not None:
        columns = columns | {"scenes_done": len(changes.scenes)}
    if status is not None:
        columns = _status_columns(current, status, unit.now) | columns
        _end_run(unit, session_id, current.status, status)
    if changes.attempt is not None:
        columns = columns | {"attempt": changes.attempt}
    if columns:
        unit.sessions.update(session_id, columns)
    if status is not None and status is not current.status:
        events[EventType.STATUS_CHANGED] = _status_figures(current, columns, unit.now)
    for event, figures in events.items():
        unit.history.record(session_id, event, **figures)
    # Last, so that everybody hears of the change as a whole.
    is_new = EventType.STATUS_CHANGED in events
    finishes = [FINISH_ANNOUNCED_AS[status]] if status in FINISH_ANNOUNCED_AS and is_new else []
    unit.publish(session_id, *events, *finishes)


def _end_run(unit: UnitOfWork, session_id: str, left: GenerationStatus, status: GenerationStatus) -> None:
    """What a status means for the run that there is, and for those that crashed."""
    if left.is_terminal() and not status.is_terminal():
        unit.runs.forgive(session_id)
    if status in ENDS_RUN_AS:
        unit.runs.end(session_id, ENDS_RUN_AS[status])


def _status_figures(current: SessionState, columns: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What a change of status says for the reports: what it ends, and how long that had lasted."""
    since = current.status_since
    return {
        "left_status": current.status.value,
        "duration_ms": None if since is None else milliseconds(since, now),
        "queue_ms": columns.get("queue_ms"),
        "generation_ms": columns.get("generation_ms"),
    }


def _status_columns(current: SessionState, status: GenerationStatus, now: datetime) -> dict[str, Any]:
    """The columns that a change from `current` to `status` sets.

    The first active status starts the session. Becoming terminal finishes it, and its duration counts from the
    start. Leaving a terminal status takes the finish and the error of that run back.
    """
    columns: dict[str, Any] = {"status": status.value}
    if status is not current.status:
        columns["status_since"] = now
    started_at = current.started_at
    if status.is_active() and started_at is None:
        started_at = now
        columns |= {"started_at": now, "queue_ms": milliseconds(current.created_at, now)}
    if status.is_terminal() and status is not current.status:
        generation_ms = None if started_at is None else milliseconds(started_at, now)
        columns |= {"finished_at": now, "generation_ms": generation_ms}
    if current.status.is_terminal() and not status.is_terminal():
        columns |= {"finished_at": None, "generation_ms": None, "error_message": None}
    return columns


def milliseconds(start: datetime, end: datetime) -> int:
    """How long it took, from 0 up."""
    # A clock that was set back between the two must not make a duration negative.
    return max(0, round((end - start).total_seconds() * 1000))
