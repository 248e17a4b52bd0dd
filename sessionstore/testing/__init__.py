"""For the tests of a backend that keeps its sessions here, and for engines that want to be one of the store's."""

import os
import shutil
import tempfile
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sessionstore.manager import SessionManager
from sessionstore.models import GenerationRequest, GenerationSession, GenerationStatus

__all__ = ["ManualClock", "create_mock_session", "create_test_session_manager", "wait_for_cleanup"]


class ManualClock:
    """A clock that stands still until a test moves it: `SessionManager(clock=ManualClock())`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        """Moves by the arguments of `timedelta`, back too: `clock.advance(hours=25)`."""
        self.now += timedelta(**duration)


def create_test_session_manager(max_sessions: int | None = 5) -> SessionManager:
    """A real manager on a real, new database in a temporary folder, which goes when the manager does."""
    folder = tempfile.mkdtemp(prefix="sessionstore-test-")
    manager = SessionManager(max_sessions, database_url=f"sqlite:///{Path(folder) / 'sessions.db'}")
    weakref.finalize(manager, _remove_folder, folder, os.getpid())
    return manager


def _remove_folder(folder: str, process: int) -> None:
    # A forked child that ends must not take it away from its parent.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def create_mock_session(
    session_id: str | None = None, status: GenerationStatus = GenerationStatus.PENDING
) -> GenerationSession:
    """A session for tests that need one but no store."""
    request = GenerationRequest(story_text="A test story. It has two sentences.")
    session = GenerationSession(request_data=request, status=status)
    if session_id is not None:
        session.session_id = session_id
    return session


def wait_for_cleanup(manager: SessionManager[Any, Any], max_wait: float = 10) -> bool:
    """Has the scheduled cleanup run now; true once a pass that began after the call has finished.

    False when that took over `max_wait` seconds.
    """
    return manager._upkeep.wait_for_cleanup(max_wait)
