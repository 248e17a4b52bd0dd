"""diskcache: a session is one value, which each change gets and sets again, as its documentation shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from diskcache import Cache

from benchmarks.contestants.base import BUSY_TIMEOUT_SECONDS, Contestant, Seen


class DiskcacheSessions(Contestant):
    """Nothing is culled, and `synchronous` is what the others have (diskcache's own default is NORMAL)."""

    def __init__(self, path: Path, durability: str) -> None:
        self._cache = Cache(
            str(path),
            timeout=BUSY_TIMEOUT_SECONDS,
            eviction_policy="none",
            cull_limit=0,
            sqlite_synchronous=2 if durability == "full" else 1,
        )

    def create(self, story: str) -> str:
        session_id = str(uuid4())
        request = {"story_text": story, "media_type": "cinematic", "num_scenes": 5}
        self._cache[session_id] = {"status": "pending", "metadata": {"user": "u-17"}, "request": request, "scenes": []}
        return session_id

    def set_status(self, session_id: str, status: str) -> None:
        self._change(session_id, status=status)

    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None:
        self._change(session_id, progress=(step, total, description))

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        session = self._cache[session_id]
        session["scenes"].append(dict(scene))
        self._cache[session_id] = session

    def read(self, session_id: str) -> list[int]:
        return [scene["scene_number"] for scene in self._cache[session_id]["scenes"]]

    def look(self, session_id: str) -> Seen | None:
        session = self._cache.get(session_id)
        if session is None:
            return None
        step, *_ = session.get("progress", (None,))
        return Seen(session["status"], step, [scene["scene_number"] for scene in session["scenes"]])

    def close(self) -> None:
        self._cache.close()

    def _change(self, session_id: str, **changes: Any) -> None:
        self._cache[session_id] = self._cache[session_id] | changes
