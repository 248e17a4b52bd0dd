"""What one look at a watched session amounts to: the items that are told, and whether that is all."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sessionstore.models import GenerationSession, SessionChange, Tombstone, TombstoneReason
from sessionstore.operations.changes import absent
from sessionstore.persistence.following import EventsSince, Point, RecordedEvent, mark_of
from sessionstore.persistence.unit import UnitOfWork

STATE, PROGRESS = "state", "progress"
# What is told last of a session, whatever its status was.
WAYS_TO_GO = frozenset(TombstoneReason)

# Versions of a session count from the second; the first is for who knows that it is gone.
GONE, FIRST_VERSION = 0, 1

_CURSOR = re.compile("([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})")

Change = SessionChange[Any, Any]
Session = GenerationSession[Any, Any]
# Behind which event, and at which version of the session (GONE when it is).
Position = tuple[Point, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """The items of one snapshot, and where it was taken.

    `is_over` when nothing more is told after them; `is_cut` when there would be: it was put back or made again since.
    """

    items: list[Change]
    position: Position
    is_over: bool
    is_cut: bool = False


def position_in(cursor: object) -> Position:
    """What a cursor stands for.

    Raises:
        ValueError: for what is none.
    """
    match = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None:
        raise ValueError("after must be the cursor of an item that watch() gave")
    event_id, version, mark = map(int, match.groups())
    return Point(event_id, mark), version


def cursor_at(position: Position) -> str:
    """The text for a position."""
    (event_id, mark), version = position
    return f"{event_id}-{version}-{mark}"


def read_state(unit: UnitOfWork, session_id: str) -> Reading:
    """How the session stands. Raises SessionNotFoundError when it is absent."""
    session = unit.sessions.get(session_id)
    if session is None:
        raise absent(session_id)
    position = (unit.changes.latest(), session.version)
    return Reading([_standing(session, STATE, position)], position, session.status.is_terminal())


def read_from(unit: UnitOfWork, session_id: str, position: Position) -> Reading:
    """As `read_on`, for a position that came from outside.

    Raises:
        SessionNotFoundError: when there is no session of that id, and as far as is known there never was.
    """
    reading = read_on(unit, session_id, position)
    if not reading.items and reading.position[1] == GONE and unit.history.find_tombstone(session_id) is None:
        raise absent(session_id)
    return reading


def read_on(unit: UnitOfWork, session_id: str, position: Position) -> Reading:
    """What happened behind a position; how the session stands instead, when some of that is not known any more."""
    session, since = unit.sessions.get(session_id), unit.changes.events_since(session_id, position[0])
    reached = (since.latest, GONE if session is None else session.version)
    is_over = session is None or session.status.is_terminal()
    if session is not None and not since.is_complete:
        return Reading([_standing(session, STATE, reached)], reached, is_over)
    if session is None and not since.events:
        return Reading(_departure(unit, session_id, position, since), reached, is_over)
    told = list(_up_to_an_end(since.events))
    items = [_item(session_id, event, session, reached[1]) for event in told]
    if session is not None and not since.events and session.version != position[1]:
        items = [_standing(session, PROGRESS, reached)]
    is_cut = len(told) < len(since.events)
    return Reading(items, reached, is_over or is_cut, is_cut)


def _up_to_an_end(events: Iterable[RecordedEvent]) -> Iterable[RecordedEvent]:
    """The events before the first that has the session begin again after it had ended.

    So where a watch ends does not depend on how soon it looked.
    """
    had_ended = False
    for event in events:
        is_end = event.status.is_terminal() or event.event_type in WAYS_TO_GO
        if had_ended and not is_end:
            return
        had_ended = is_end
        yield event


def _standing(session: Session, event_type: str, position: Position) -> Change:
    return Change.model_construct(
        cursor=cursor_at(position),
        event_type=event_type,
        session_id=session.session_id,
        status=session.status,
        scene_number=None,
        attempt=session.attempt,
        occurred_at=session.updated_at,
        session=session,
    )


def _departure(unit: UnitOfWork, session_id: str, position: Position, since: EventsSince) -> list[Change]:
    """How a session went, by its tombstone, which outlives the event; nothing to who knows that."""
    tombstone = unit.history.find_tombstone(session_id)
    if tombstone is None or _is_known(position, since, tombstone):
        return []
    item = Change.model_construct(
        cursor=cursor_at((since.latest, GONE)),
        event_type=tombstone.reason.value,
        session_id=session_id,
        status=tombstone.status,
        scene_number=None,
        attempt=tombstone.attempt,
        occurred_at=tombstone.gone_at,
        session=None,
    )
    return [item]


def _is_known(position: Position, since: EventsSince, tombstone: Tombstone) -> bool:
    """Whether who stands there was told of this departure, and not of one in a life before."""
    return position[1] == GONE and (since.is_complete or mark_of(tombstone.gone_at) <= position[0].mark)


def _item(session_id: str, event: RecordedEvent, session: Session | None, version: int) -> Change:
    # The version of the snapshot, which comes with the item: ticks up to it are told. Of a session that is gone none
    # are left, but who goes on from an item before the last must not be taken for one who knows that it is gone.
    known = GONE if event.event_type in WAYS_TO_GO else max(version, FIRST_VERSION)
    return Change.model_construct(
        cursor=cursor_at((event.point, known)),
        event_type=event.event_type,
        session_id=session_id,
        status=event.status,
        scene_number=event.scene_number,
        attempt=event.attempt,
        occurred_at=event.occurred_at,
        session=session,
    )
