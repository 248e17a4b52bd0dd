"""Django's database sessions: a session is one signed value, which each change loads and saves again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django import setup
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from benchmarks.contestants.base import BUSY_TIMEOUT_SECONDS, Contestant, Seen

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.sessions"],
        SECRET_KEY="measured, not kept",
        USE_TZ=True,
    )
    setup()

from django.contrib.sessions.backends.db import SessionStore


class DjangoSessions(Contestant):
    """A connection for each thread, as Django keeps them; WAL, immediate transactions, the same `synchronous`."""

    def __init__(self, path: Path, durability: str) -> None:
        synchronous = "FULL" if durability == "full" else "NORMAL"
        self._connections: list[Any] = []
        # Django has one set of connections for a process: this one is pointed at the file that is measured now.
        connections.settings["default"] |= {
            "NAME": str(path),
            "OPTIONS": {
                "timeout": BUSY_TIMEOUT_SECONDS,
                "transaction_mode": "IMMEDIATE",
                "init_command": f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};",
            },
        }
        self._join()
        call_command("migrate", verbosity=0)

    def create(self, story: str) -> str:
        self._join()
        session = SessionStore()
        request = {"story_text": story, "media_type": "cinematic", "num_scenes": 5}
        session.update({"status": "pending", "metadata": {"user": "u-17"}, "request": request, "scenes": []})
        session.create()
        return str(session.session_key)

    def set_status(self, session_id: str, status: str) -> None:
        self._change(session_id, status=status)

    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None:
        self._change(session_id, progress=[step, total, description])

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        self._join()
        session = SessionStore(session_id)
        session["scenes"] = [*session["scenes"], dict(scene)]
        session.save()

    def read(self, session_id: str) -> list[int]:
        self._join()
        return [scene["scene_number"] for scene in SessionStore(session_id)["scenes"]]

    def look(self, session_id: str) -> Seen | None:
        self._join()
        session = SessionStore(session_id)
        if "scenes" not in session:
            return None
        step, *_ = session.get("progress", (None,))
        return Seen(session["status"], step, [scene["scene_number"] for scene in session["scenes"]])

    def close(self) -> None:
        for each in self._connections:
            each.close()
        del connections["default"]

    def _change(self, session_id: str, **changes: Any) -> None:
        self._join()
        session = SessionStore(session_id)
        session.update(changes)
        session.save()

    def _join(self) -> None:
        """Notes this thread's connection, and allows `close` to end it from another thread."""
        current = connections["default"]
        if not any(each is current for each in self._connections):
            current.inc_thread_sharing()
            self._connections.append(current)
