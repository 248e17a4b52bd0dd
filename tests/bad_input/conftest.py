"""A store that holds something worth not changing, and the question whether it refuses."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionManager
from tests.dumps import dump

# No bad value may come back in a message: it may be long, and it may be somebody's secret.
SECRET = "hunter2"

# An error is for a person to read, in one look.
MAX_MESSAGE_CHARACTERS = 500

Refuses = Callable[..., None]


@pytest.fixture
def store(manager: SessionManager) -> SessionManager:
    """Session `a` with two scenes, progress and metadata, `b` failed, `c` gone."""
    for session_id in "abc":
        manager.create_session({"story_text": "A lamp."}, session_id=session_id, metadata={"owner": "ann"})
    scene = {"title": "t", "description": "d", "image_prompt": "p"}
    manager.set_session_scenes("a", [scene | {"scene_number": number} for number in (1, 2)])
    manager.update_session_progress("a", 1, 3, "painting")
    manager.update_session_status("b", "failed", "no paint")
    manager.remove_session("c")
    return manager


@pytest.fixture
def refuses(store: SessionManager, database: Path) -> Refuses:
    """Whether an act is refused as the issue asks: clearly, naming `name`, repeating nothing, changing nothing."""

    def refuses_it(act: Callable[[], Any], name: str, error: Any = (ValueError, TypeError)) -> None:
        before = dump(database)
        with pytest.raises(error) as caught:
            act()
        assert dump(database) == before
        message = str(caught.value)
        assert name in message
        assert len(message) < MAX_MESSAGE_CHARACTERS
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert isinstance(store.get_session_count(), int)

    return refuses_it
