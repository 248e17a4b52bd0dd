"""Saving scenes: one at a time as they are made, or all at once."""

from collections.abc import Iterable

from sessionstore.events import EventType
from sessionstore.exact import exact_integer
from sessionstore.identifiers import checked_identifier
from sessionstore.models import MAX_INTEGER
from sessionstore.operations.changes import Changes, apply_changes, milliseconds
from sessionstore.operations.store import Store
from sessionstore.persistence.codec import EncodedScene
from sessionstore.persistence.unit import UnitOfWork


def checked_number(value: object, name: str) -> int:
    """`value`, when it is the number of a scene.

    Raises:
        ValueError: for anything but an integer from 0 up that a column can hold.
    """
    number = exact_integer(value)
    if number is None or not 0 <= number <= MAX_INTEGER:
        raise ValueError(f"{name} must be an integer from 0 to {MAX_INTEGER}")
    return number


def add(store: Store, session_id: str, scene: object) -> bool:
    """Inserts a scene, or replaces the one with its number where it stands."""
    session_id = checked_identifier(session_id, "session_id")
    encoded = store.codec.encode_scene(scene)

    return store.engine.write(lambda unit: save(unit, session_id, encoded))


def save(unit: UnitOfWork, session_id: str, scene: EncodedScene) -> bool:
    """As `add`, within a unit."""
    begun = unit.sessions.save_scene(session_id, scene)
    if begun is None:
        return False
    figures = {"duration_ms": milliseconds(begun, unit.now), "scene_count": 1}
    unit.history.record(session_id, EventType.SCENE_ADDED, scene.scene_number, **figures)
    unit.publish(session_id, EventType.SCENE_ADDED)
    return True


def numbers(unit: UnitOfWork, session_id: str) -> set[int]:
    """Those of the scenes that are saved; none when there is no session."""
    current = unit.sessions.state(session_id)
    if current is None:
        return set()
    return {row.scene_number for row in unit.scenes.list(session_id, current.scenes_done)}


def replace_all(store: Store, session_id: str, scenes: Iterable[object]) -> bool:
    """Makes `scenes`, in their order, all that the session has."""
    session_id = checked_identifier(session_id, "session_id")
    changes = Changes(scenes=store.codec.encode_scenes(scenes))

    def work(unit: UnitOfWork) -> bool:
        current = unit.sessions.state(session_id)
        if current is not None:
            apply_changes(unit, session_id, current, changes)
        return current is not None

    return store.engine.write(work)
