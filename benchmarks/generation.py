"""One generation as a backend lives it: 13 writes, each acknowledged on its own, and 5 full reads."""

from typing import Any

from benchmarks.contestants.base import Contestant
from benchmarks.notes import Acknowledged, Notes

SCENES = 5
READS = 5
# Creation, two statuses, and a progress update and a scene for each scene.
WRITES = 1 + 2 + 2 * SCENES

# 800 characters: a short story as users paste it.
STORY = ("The lighthouse keeper's daughter finds a fox asleep on the stairs, a lantern between its paws. " * 9)[:800]


def scene(number: int) -> dict[str, Any]:
    """A scene of about 400 bytes as JSON."""
    return {
        "scene_number": number,
        "title": f"Scene {number}: the fox on the stairs",
        "description": "Evening light falls through the salt-stained window; the fox lifts its head and listens to "
        "the sea while the lantern flickers.",
        "image_prompt": "cinematic wide shot, spiral staircase of an old lighthouse, a red fox with a brass lantern, "
        "warm light against blue dusk, film grain",
        "image_url": None,
        "image_path": None,
    }


def run_generation(store: Contestant, notes: Notes) -> Acknowledged | None:
    """Creates a session, leads it to its end and reads it; None when it was refused at once.

    A refusal ends the generation: what was acknowledged until then still has to be there. The reads come last,
    so that each decodes all the scenes.
    """
    try:
        session_id = notes.timed("create", store.create, STORY)
    except Exception as error:  # noqa: BLE001 - whatever a store raises is a refusal, and is counted
        notes.refuse(error)
        return None
    saved: list[int] = []
    try:
        notes.timed("status", store.set_status, session_id, "processing")
        for number in range(1, SCENES + 1):
            notes.timed("scene", store.add_scene, session_id, scene(number))
            saved.append(number)
            notes.timed("progress", store.set_progress, session_id, number, SCENES, f"saved scene {number}")
        notes.timed("status", store.set_status, session_id, "completed")
        for _ in range(READS):
            numbers = notes.timed("read", store.read, session_id)
            if numbers != saved:
                raise LookupError(f"a read gave the scenes {numbers}, not {saved}")
    except Exception as error:  # noqa: BLE001 - as above
        notes.refuse(error)
        return Acknowledged(session_id, None, None, saved)
    return Acknowledged(session_id, "completed", SCENES, saved)
