"""Cancelling sessions, whoever works on them, and putting finished ones back."""

from collections.abc import Iterable
from itertools import islice

from sessionstore.identifiers import checked_identifier
from sessionstore.models import GenerationStatus
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.operations.scenes import checked_number
from sessionstore.operations.store import Store
from sessionstore.persistence.repository import SessionState
from sessionstore.persistence.unit import UnitOfWork

MADE_AGAIN = "made again at the request of retry_session"


def cancel(store: Store, session_id: str) -> bool:
    """Cancels what is not finished; a run of it ends here. True when the session is cancelled now."""
    session_id = checked_identifier(session_id, "session_id")

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is not None and not current.status.is_terminal():
            apply_changes(unit, session_id, current, Changes(status=GenerationStatus.CANCELLED))
            return True
        return current is not None and current.status is GenerationStatus.CANCELLED

    return store.engine.write(work)


def retry(store: Store, session_id: str, scenes: Iterable[int] | None) -> bool:
    """Puts a finished session back to pending; `scenes` of it are to be made again."""
    session_id = checked_identifier(session_id, "session_id")
    numbers = _checked_numbers(store, scenes)

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is None or not current.status.is_terminal():
            return False
        if current.status is GenerationStatus.COMPLETED and not numbers:
            return False
        if numbers:
            _make_room_for(unit, session_id, current, numbers)
        apply_changes(unit, session_id, current, Changes(status=GenerationStatus.PENDING))
        return True

    return store.engine.write(work)


def _make_room_for(unit: UnitOfWork, session_id: str, current: SessionState, numbers: set[int]) -> None:
    """Keeps the saved scenes of these numbers beside the session, and goes on with nothing that was bought for them."""
    saved = {row.scene_number: row.payload for row in unit.scenes.list(session_id, current.scenes_done)}
    for number in sorted(numbers):
        if number not in saved and current.num_scenes is not None and not 1 <= number <= current.num_scenes:
            raise ValueError(f"session {session_id!r} has no scene {number}, and asks for 1 to {current.num_scenes}")
        if number in saved:
            unit.sessions.set_aside(session_id, f"scene {number}", MADE_AGAIN, saved[number])
            unit.scenes.delete(session_id, number)
        unit.calls.abandon_scene(session_id, number, MADE_AGAIN)
    unit.sessions.discount_scenes(session_id, len(numbers & saved.keys()))


def _checked_numbers(store: Store, scenes: object) -> set[int]:
    if scenes is None:
        return set()
    if isinstance(scenes, str | bytes) or not isinstance(scenes, Iterable):
        raise TypeError(f"scenes must be a list of scene numbers, not {type(scenes).__name__}")
    numbers = [checked_number(number, "scenes") for number in islice(scenes, store.codec.limits.scenes + 1)]
    store.codec.require_room(len(numbers))
    return set(numbers)
