"""LangGraph's SQLite saver: a session is a thread, each change a checkpoint with the whole state."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.contestants.base import BUSY_TIMEOUT_SECONDS, Contestant, Seen


class LangGraphSaver(Contestant):
    """One connection behind the saver's own lock, as it is meant to be used."""

    def __init__(self, path: Path, durability: str) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        self._saver = SqliteSaver(self._connection)
        self._saver.setup()

    def create(self, story: str) -> str:
        session_id = str(uuid4())
        request = {"story_text": story, "media_type": "cinematic", "num_scenes": 5}
        state = {"status": "pending", "metadata": {"user": "u-17"}, "request": request, "scenes": []}
        self._put(_thread(session_id), state)
        return session_id

    def set_status(self, session_id: str, status: str) -> None:
        config, state = self._get(session_id)
        self._put(config, state | {"status": status})

    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None:
        config, state = self._get(session_id)
        self._put(config, state | {"progress": [step, total, description]})

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        config, state = self._get(session_id)
        self._put(config, state | {"scenes": [*state["scenes"], dict(scene)]})

    def read(self, session_id: str) -> list[int]:
        _, state = self._get(session_id)
        return [scene["scene_number"] for scene in state["scenes"]]

    def look(self, session_id: str) -> Seen | None:
        found = self._saver.get_tuple(_thread(session_id))
        if found is None:
            return None
        state = found.checkpoint["channel_values"]
        step, *_ = state.get("progress", (None,))
        return Seen(state["status"], step, [scene["scene_number"] for scene in state["scenes"]])

    def close(self) -> None:
        self._connection.close()

    def _get(self, session_id: str) -> tuple[Any, dict[str, Any]]:
        found = self._saver.get_tuple(_thread(session_id))
        if found is None:
            raise LookupError(session_id)
        return found.config, found.checkpoint["channel_values"]

    def _put(self, config: Any, state: dict[str, Any]) -> None:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = state
        self._saver.put(config, checkpoint, {"source": "update", "step": 0, "parents": {}}, {})


def _thread(session_id: str) -> Any:
    return {"configurable": {"thread_id": session_id, "checkpoint_ns": ""}}
