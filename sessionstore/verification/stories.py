"""What is written: sessions of which everything can be told from the id and the number of steps that were taken."""

from hashlib import sha256
from typing import Any

from sessionstore.manager import SessionManager
from sessionstore.models import GenerationRequest, GenerationSession, GenerationStatus, ScenePrompt

# 9,600 characters: more than a page of any database, so that a torn write has somewhere to show.
LONG_TEXT_DIGESTS = 150


class Story:
    """A session in steps: created, begun, two for each scene, completed. Each is one write, which may be repeated."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.num_scenes = 1 + sha256(session_id.encode()).digest()[0] % 4
        self.steps = 3 + 2 * self.num_scenes

    def write(self, manager: SessionManager, step: int) -> None:
        """Takes step number `step`, from 1 on."""
        if step == 1:
            manager.create_session(self._request(), session_id=self.session_id, metadata={"of": self.session_id})
        elif step == 2:
            manager.update_session_status(self.session_id, GenerationStatus.PROCESSING)
        elif step == self.steps:
            end = {"status": GenerationStatus.COMPLETED, "metadata": self._metadata(step)}
            manager.atomic_session_update(self.session_id, end)
        elif step % 2:
            manager.update_session_progress(self.session_id, *self._progress(step))
        else:
            with manager.transaction():
                manager.add_scene_to_session(self.session_id, self.scene(step // 2 - 1))
                manager.update_session_progress(self.session_id, *self._progress(step))

    def state(self, step: int) -> dict[str, Any]:
        """How the session stands after step number `step`, as `state_of` tells it."""
        status = {1: GenerationStatus.PENDING, self.steps: GenerationStatus.COMPLETED}
        return {
            "status": status.get(step, GenerationStatus.PROCESSING),
            "request": self._request().model_dump(),
            "metadata": self._metadata(step),
            "progress": self._progress(min(step, self.steps - 1)) if step > 2 else None,
            "scenes": [self.scene(number).model_dump() for number in range(1, min(step, self.steps - 1) // 2)],
        }

    def scene(self, number: int) -> ScenePrompt:
        text = self._text(f"scene {number}")
        return ScenePrompt(scene_number=number, title=f"Scene {number}", description=text, image_prompt=text[::-1])

    def _request(self) -> GenerationRequest:
        return GenerationRequest(story_text=self._text("story"), num_scenes=self.num_scenes)

    def _metadata(self, step: int) -> dict[str, str]:
        return {"of": self.session_id} | ({"end": self._text("end")} if step == self.steps else {})

    def _progress(self, step: int) -> tuple[int, int, str]:
        done, is_saved = step // 2 - 1, step % 2 == 0
        return done, self.num_scenes, f"scene {done} is saved" if is_saved else f"scene {done + 1} is made"

    def _text(self, name: str) -> str:
        """Of a length that differs, and one in eight spans pages."""
        digest = sha256(f"{self.session_id}/{name}".encode()).hexdigest()
        return digest * (LONG_TEXT_DIGESTS if digest[0] < "2" else 1 + int(digest[1], 16) % 6)


def state_of(session: GenerationSession) -> dict[str, Any]:
    """All of a session that its story decides."""
    tick = session.progress
    return {
        "status": session.status,
        "request": session.request_data.model_dump(),
        "metadata": session.metadata,
        "progress": tick and (tick.current_step, tick.total_steps, tick.description),
        "scenes": [scene.model_dump() for scene in session.scenes],
    }
