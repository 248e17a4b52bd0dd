"""This store, as the README uses it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contestants.base import BUSY_TIMEOUT_SECONDS, Contestant, Seen
from sessionstore import GenerationRequest, ScenePrompt, SessionManager


class ThisStore(Contestant):
    """A `SessionManager`, unless told otherwise without limits and schedules: nothing may go while it is counted."""

    def __init__(self, path: Path, durability: str, **overrides: Any) -> None:
        chosen = {"max_sessions": None, "cleanup_interval": None, "lock_timeout": BUSY_TIMEOUT_SECONDS} | overrides
        self.manager = SessionManager(database_url=f"sqlite:///{path}", durability=durability, **chosen)

    def create(self, story: str) -> str:
        return self.manager.create_session(GenerationRequest(story_text=story, num_scenes=5), metadata={"user": "u-17"})

    def set_status(self, session_id: str, status: str) -> None:
        _check(self.manager.update_session_status(session_id, status), session_id)

    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None:
        _check(self.manager.update_session_progress(session_id, step, total, description), session_id)

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        _check(self.manager.add_scene_to_session(session_id, ScenePrompt(**scene)), session_id)

    def read(self, session_id: str) -> list[int]:
        session = self.manager.get_session(session_id)
        if session is None:
            raise LookupError(session_id)
        return [scene.scene_number for scene in session.scenes]

    def look(self, session_id: str) -> Seen | None:
        session = self.manager.get_session(session_id)
        if session is None:
            return None
        step = session.progress.current_step if session.progress else None
        return Seen(session.status.value, step, [scene.scene_number for scene in session.scenes])

    def close(self) -> None:
        if not self.manager.shutdown():
            raise TimeoutError("the store did not close in time")


def _check(is_saved: bool, session_id: str) -> None:
    if not is_saved:
        raise LookupError(session_id)
