"""The stores that rot: one that was closed, and one whose process was killed while its WAL was full of commits.

`python -m tests.faults.rot.stores write DATABASE` is that process: a line of JSON for each acknowledged write, with the
session as it is then.
"""

import json
import sys
from pathlib import Path
from typing import Any

from sessionstore import GenerationRequest, Provider, SessionManager
from sessionstore.errors import CallHeldError
from tests.faults.rot.answers import opened, told
from tests.workers import Worker

SESSIONS, REMOVED = 36, 4
WRITES = 60
STATUSES = ("pending", "processing", "completed", "failed", "cancelled", "downloading")


def build(database: Path) -> list[str]:
    """A closed store of several dozen sessions with scenes, tombstones and paid calls; their ids."""
    manager = opened(database)
    session_ids = [_session(manager, number) for number in range(SESSIONS)]
    _buy(manager, session_ids[0])
    for session_id in session_ids[-REMOVED:]:
        manager.remove_session(session_id)
    assert manager.shutdown()
    return session_ids


def _session(manager: SessionManager, number: int) -> str:
    story = f"Story {number}: a fox finds a lantern. " * (1 + number % 3 * 60)
    session_id = manager.create_session(
        GenerationRequest(story_text=story, num_scenes=4), metadata={"user": f"u-{number}"}, session_id=f"s-{number:02}"
    )
    for scene in range(number % 5):
        manager.add_scene_to_session(session_id, a_scene(number, scene))
        manager.update_session_progress(session_id, scene, 4, f"scene {scene}")
    status = STATUSES[number % len(STATUSES)]
    error = "it rained" if status == "failed" else None
    manager.update_session_status(session_id, status, error)
    return session_id


def a_scene(number: int, scene: int) -> dict[str, Any]:
    """One that no other session has."""
    title = f"Scene {scene} of {number}"
    return {"scene_number": scene, "title": title, "description": f"{title}. " * 20, "image_prompt": "a fox"}


def _buy(manager: SessionManager, session_id: str) -> None:
    def fail(_: object) -> str:
        raise TimeoutError

    run = manager.track(session_id, "worker")
    run.call(Provider(name="images", submit=lambda _: "job-1", fetch=lambda _: {"url": "1.png"}), 1, {"prompt": "fox"})
    try:
        run.call(Provider(name="voices", submit=fail, fetch=fail), 2, {"text": "fox"})
    except CallHeldError:
        run.release()


class Writer(Worker):
    """The process that is killed."""

    module = "tests.faults.rot.stores"


def build_killed(database: Path) -> list[tuple[str, str | None]]:
    """A store whose writer was killed; each session as it was acknowledged, in the order of the commits."""
    with Writer("write", database) as writer:
        lines = [json.loads(writer.line()) for _ in range(WRITES)]
        writer.kill()
    database.with_name(f"{database.name}-shm").unlink()
    return [tuple(each) for each in lines]


def write(database: Path) -> None:
    """Writes until it is killed."""
    manager = opened(database)
    for number in range(WRITES):
        session_id = f"s-{number // 4}"
        step = number % 4
        if step == 0:
            manager.create_session(GenerationRequest(story_text=f"Story {number}."), session_id=session_id)
        elif step == 3 and number % 8 == 3:
            manager.remove_session(session_id)
        else:
            manager.add_scene_to_session(session_id, a_scene(number, step))
        print(json.dumps([session_id, told(manager.get_session(session_id))]), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    write(Path(sys.argv[2]))
