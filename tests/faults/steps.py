"""The life of a session as steps, each one write, so that after a crash it can be told how far the session got.

A session of a step has one shape only. Anything else that is found, such as two of three scenes that were saved in
one transaction, is torn. What a session holds follows from its id, so that foreign data is recognized too.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from sessionstore import GenerationRequest, GenerationSession, GenerationStatus, ScenePrompt, SessionManager


class Step(IntEnum):
    """What a session has behind it."""

    NOTHING = 0
    CREATED = 1
    PROGRESSED = 2
    ONE_SCENE = 3
    THREE_SCENES = 4
    COMPLETED = 5
    GONE = 6


SCENES = {Step.ONE_SCENE: (1,), Step.THREE_SCENES: (1, 2, 3), Step.COMPLETED: (1, 2, 3)}

BEFORE_SCENES = (Step.CREATED, Step.PROGRESSED)


def request_of(session_id: str) -> GenerationRequest:
    # Longer than a database page, so that it is spread over several, which can be torn from each other.
    return GenerationRequest(story_text=f"The story of {session_id}. " * 250, num_scenes=3)


def scene_of(session_id: str, number: int) -> ScenePrompt:
    return ScenePrompt(
        scene_number=number,
        title=f"Scene {number} of {session_id}",
        description=f"Rain on {session_id}. " * 60 * number,
        image_prompt="rain",
    )


def take(manager: SessionManager, session_id: str, step: Step) -> None:
    """Brings the session from the step before to this one, in one write; harmless when it is there already."""
    match step:
        case Step.CREATED:
            manager.create_session(request_of(session_id), session_id=session_id, idempotency_key=f"key {session_id}")
        case Step.PROGRESSED:
            manager.update_session_progress(session_id, 1, 3, f"sketching {session_id}")
        case Step.ONE_SCENE:
            manager.add_scene_to_session(session_id, scene_of(session_id, 1))
        case Step.THREE_SCENES:
            with manager.transaction():
                manager.add_scene_to_session(session_id, scene_of(session_id, 2))
                manager.add_scene_to_session(session_id, scene_of(session_id, 3))
        case Step.COMPLETED:
            manager.update_session_status(session_id, GenerationStatus.COMPLETED)
        case Step.GONE:
            manager.remove_session(session_id)


# Bounded: a long run has hundreds of thousands of sessions.
@lru_cache(maxsize=2_000)
def _shape(step: Step, session_id: str) -> tuple[object, ...]:
    """Status, progress, and the scenes, as their rows hold them at that step."""
    progress = (1, f"sketching {session_id}") if step >= Step.PROGRESSED else (None, None)
    scenes = tuple(scene_of(session_id, number).model_dump(mode="json") for number in SCENES.get(step, ()))
    return "completed" if step is Step.COMPLETED else "pending", *progress, scenes


@dataclass
class Found:
    """How far each session of a database got; what is wrong with those that are nowhere; whether SQLite complains."""

    steps: dict[str, Step] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    complaint: str = ""

    def step(self, session_id: str) -> Step:
        return self.steps.get(session_id, Step.NOTHING)


def find(database: Path) -> Found:
    """By SQLite alone, without the store: some milliseconds."""
    found = Found()
    try:
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            _look(connection, found)
    except (sqlite3.Error, ValueError, TypeError) as error:
        found.complaint = f"{type(error).__name__}: {error}"
    return found


def _look(connection: sqlite3.Connection, found: Found) -> None:
    (integrity,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    if integrity != "ok" or orphans:
        found.complaint = f"integrity {integrity}, {len(orphans)} rows without a parent"
        return
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "sessions" not in tables:
        # Before the migration that makes it; the other tables come in the same transaction.
        found.complaint = "" if not tables else f"tables without sessions: {sorted(tables)}"
        return
    _look_at_sessions(connection, found)
    # A revision before the one that makes them has none.
    if "session_tombstones" in tables:
        _look_at_tombstones(connection, found)


def _look_at_sessions(connection: sqlite3.Connection, found: Found) -> None:
    scenes: dict[str, list[Any]] = {}
    for session_id, payload in connection.execute("SELECT session_id, payload FROM scenes ORDER BY 1, position"):
        scenes.setdefault(session_id, []).append(json.loads(payload))
    rows = connection.execute(
        "SELECT session_id, status, progress_step, progress_description, request_data FROM sessions"
    )
    for session_id, status, step, description, request in rows:
        shape = (status, step, description, tuple(scenes.get(session_id, ())))
        likely = [each for each in (*SCENES, *BEFORE_SCENES) if shape == _shape(each, session_id)]
        is_own = json.loads(request)["story_text"] == request_of(session_id).story_text
        if likely and is_own:
            found.steps[session_id] = likely[0]
        else:
            found.torn.append(session_id)


def _look_at_tombstones(connection: sqlite3.Connection, found: Found) -> None:
    for session_id, number in connection.execute("SELECT session_id, scenes_done FROM session_tombstones"):
        if session_id in found.steps or number != len(SCENES[Step.COMPLETED]):
            found.torn.append(session_id)
        found.steps[session_id] = Step.GONE


@dataclass
class Damage:
    """What must not be, each as the sessions that it happened to."""

    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.torn or self.foreign or self.complaints)

    def add(self, other: "Damage") -> None:
        self.lost += other.lost
        self.torn += other.torn
        self.foreign += other.foreign
        self.complaints += other.complaints


def damage(found: Found, acknowledged: Mapping[str, Step]) -> Damage:
    """Each session must have got as far as was acknowledged, and at most one write further."""
    result = Damage(torn=found.torn, complaints=[found.complaint] if found.complaint else [])
    for session_id in found.steps.keys() | acknowledged.keys():
        step, told = found.step(session_id), acknowledged.get(session_id, Step.NOTHING)
        if step < told:
            result.lost.append(session_id)
        elif step > told + 1:
            result.foreign.append(session_id)
    return result


def steps_told(reports: Iterable[str]) -> dict[str, Step]:
    """From reports like `2-17 3`, among others: session 2-17 was told that it has step 3 behind it."""
    pairs = (report.partition(" ") for report in reports)
    return {session_id: Step(int(step)) for session_id, _, step in pairs if step.isdigit()}


def complaints_of(manager: SessionManager, found: Found) -> list[str]:
    """What the store itself finds wrong: by its own check, or because a session is not what its rows are."""
    complaints = [f"{each.check}: {each.message}" for each in manager.check() if each.severity == "error"]
    for session_id, step in found.steps.items():
        if step is Step.GONE:
            continue
        session: GenerationSession | None = manager.get_session(session_id)
        expected = [scene_of(session_id, number) for number in SCENES.get(step, ())]
        if session is None or session.request_data != request_of(session_id) or session.scenes != expected:
            complaints.append(f"{session_id} is not as its rows are")
    return complaints
