"""Scenes over the table `scenes`: each is verified when it is read, and signed when it is written."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast
from zlib import crc32

from pydantic_core import to_json
from sqlalchemy import Table, bindparam, case, delete, func, insert, select, update

from sessionstore.models import MAX_INTEGER
from sessionstore.persistence.checksums import MISMATCH, as_stored, checksum_of, is_sound, stored
from sessionstore.persistence.codec import EncodedScene, corrupted
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import SceneRow

SCENES = cast(Table, SceneRow.__table__)
scenes = SCENES.c

RAW_SCENE = [as_stored(column) for column in scenes]
_of_session = scenes.session_id == bindparam("id")
_of_number = scenes.scene_number == bindparam("number")

GET_SCENES = select(*RAW_SCENE).where(_of_session).order_by(scenes.position)
GET_SCENE = select(*RAW_SCENE).where(_of_session, _of_number)
GET_NUMBERS = select(scenes.scene_number).where(_of_session)
# One pass over the small columns, which stand before the payload.
STANDING: Any = select(
    func.count().label("count"),
    func.max(scenes.position).label("last_position"),
    func.max(as_stored(scenes.updated_at)).label("last_updated"),
    func.sum(case((_of_number, 1), else_=0)).label("is_replaced"),
).where(_of_session)
INSERT_SCENE = insert(SCENES)
CHANGE_SCENE = (
    update(SCENES)
    .where(_of_session, _of_number)
    .values({name: bindparam(f"new_{name}", type_=scenes[name].type) for name in ("payload", "updated_at", "checksum")})
)
DELETE_SCENES = delete(SCENES).where(_of_session)
DELETE_SCENE = DELETE_SCENES.where(_of_number)

NOT_AS_MANY = "are not as many as were saved"


def is_sound_scene(row: Any) -> bool:
    """Whether a row, its checksum last and its payload before that, is what was signed."""
    return is_sound(row[-1], row[:-2], row[-2])


def are_sound(rows: Iterable[Any], session_id: str) -> bool:
    """As `is_sound_scene` of rows of one session, without a call for each: every read of a session asks."""
    begin = to_json(session_id).decode()
    for _, number, position, created, updated, payload, checksum in rows:
        if checksum is None:
            continue
        if crc32(f'[{begin},{number},{position},"{created}","{updated}"]{payload}'.encode()) != checksum:
            return False
    return True


def require_sound_scenes(rows: Sequence[Any], session_id: str, count: int) -> None:
    """Raises SessionCorruptedError unless these are all `count` scenes of the session, as they were signed."""
    if len(rows) != count:
        raise corrupted(session_id, "scenes", NOT_AS_MANY)
    if not are_sound(rows, session_id):
        raise corrupted(session_id, "scenes", MISMATCH)


class SceneRepository:
    """The scenes of sessions, at the one instant `now` of its unit of work. What changes here, the session counts."""

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def list(self, session_id: str, count: int) -> list[Any]:
        """The rows of the `count` scenes that a session has, in their order.

        Raises:
            SessionCorruptedError: when they are damaged, or not so many.
        """
        rows = self._statements.rows(GET_SCENES, {"id": session_id})
        require_sound_scenes(rows, session_id, count)
        return rows

    def standing(self, session_id: str, scene_number: int) -> Any:
        """What to know before a scene is saved: columns of `STANDING`."""
        return self._statements.first(STANDING, {"id": session_id, "number": scene_number})

    def put(self, session_id: str, scene: EncodedScene, standing: Any, count: int) -> None:
        """Inserts the scene behind the `count` others, or replaces the one with its number in its place.

        `standing` is of the same transaction. Raises as `list` does.
        """
        if standing.count != count:
            raise corrupted(session_id, "scenes", NOT_AS_MANY)
        if standing.is_replaced:
            self._replace(session_id, scene)
        else:
            self._insert(session_id, scene, 0 if count == 0 else standing.last_position + 1)

    def count(self, session_id: str) -> int:
        """How many scenes of the session there are, damaged or not."""
        return len(self._statements.column(GET_NUMBERS, {"id": session_id}))

    def replace_all(self, session_id: str, given: Sequence[EncodedScene]) -> int:
        """Makes `given`, in this order, all scenes of a session; how many of them are new, or other than they were."""
        before = {row.scene_number: row for row in self._statements.rows(GET_SCENES, {"id": session_id})}
        self._statements.change(DELETE_SCENES, {"id": session_id})
        for position, scene in enumerate(given):
            self._insert(session_id, scene, position)
        known = {number: row.payload for number, row in before.items() if is_sound_scene(row)}
        return sum(known.get(scene.scene_number) != scene.text for scene in given)

    def delete(self, session_id: str, scene_number: int) -> None:
        """Deletes a scene."""
        self._statements.change(DELETE_SCENE, {"id": session_id, "number": scene_number})

    def _insert(self, session_id: str, scene: EncodedScene, position: object) -> None:
        if not isinstance(position, int) or position > MAX_INTEGER:
            raise corrupted(session_id, "scenes")
        row = {
            "session_id": session_id,
            "scene_number": scene.scene_number,
            "position": position,
            "created_at": self._now,
            "updated_at": self._now,
        }
        checksum = checksum_of([stored(value) for value in row.values()], scene.text)
        self._statements.change(INSERT_SCENE, {**row, "payload": scene.text, "checksum": checksum})

    def _replace(self, session_id: str, scene: EncodedScene) -> None:
        key = {"id": session_id, "number": scene.scene_number}
        before = self._statements.first(GET_SCENE, key)
        require_sound_scenes([before], session_id, 1)
        values = [session_id, scene.scene_number, before.position, before.created_at, stored(self._now)]
        changes = {"new_payload": scene.text, "new_updated_at": self._now}
        self._statements.change(CHANGE_SCENE, {**key, **changes, "new_checksum": checksum_of(values, scene.text)})
