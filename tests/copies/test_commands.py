"""`sessionstore backup` and `restore`: a bar for who looks on, nothing but the answer on a pipe."""

import os
from pathlib import Path

import pytest

from sessionstore import SessionManager
from tests.dumps import query
from tests.test_cli import on_a_terminal, sessionstore


@pytest.fixture
def folder(tmp_path: Path, manager: SessionManager) -> Path:
    """With ./sessions.db of one session in it."""
    manager.create_session({"story_text": "A lamp."}, session_id="a")
    manager.shutdown()
    return tmp_path


def test_on_a_pipe_the_answers_are_one_line(folder: Path) -> None:
    saved = sessionstore("backup", "copy.db", "-d", "sessions.db", folder=folder)
    restored = sessionstore("restore", "copy.db", "-d", "new.db", folder=folder)

    assert (saved.returncode, saved.stderr, restored.returncode, restored.stderr) == (0, "", 0, "")
    assert saved.stdout.startswith("Saved copy.db (")
    assert restored.stdout == "Restored new.db from copy.db.\n"
    assert query(folder / "new.db", "SELECT session_id FROM sessions") == [("a",)]


def test_on_a_terminal_a_bar_shows_how_far_it_is(folder: Path) -> None:
    saved = on_a_terminal("backup", "copy.db", "-d", "sessions.db", folder=folder)
    restored = on_a_terminal("restore", "copy.db", "-d", "new.db", folder=folder)

    assert "Copying" in saved
    assert "Saved copy.db" in saved
    assert "Examining" in restored
    assert "kB" in restored
    assert "Restored new.db from copy.db." in restored


def test_a_store_that_is_there_is_kept(folder: Path) -> None:
    sessionstore("backup", "copy.db", "-d", "sessions.db", folder=folder)
    query(folder / "sessions.db", "UPDATE sessions SET session_id = 'b'")

    done = sessionstore("restore", "copy.db", "-d", "sessions.db", folder=folder)

    assert (done.returncode, done.stdout) == (1, "")
    assert "not overwritten" in done.stderr
    assert query(folder / "sessions.db", "SELECT session_id FROM sessions") == [("b",)]


def test_a_damaged_backup_is_refused_in_one_line(folder: Path) -> None:
    sessionstore("backup", "copy.db", "-d", "sessions.db", folder=folder)
    query(folder / "copy.db", "INSERT INTO scenes VALUES ('nobody', 1, 1, '2026-01-01', '2026-01-01', '{}', NULL)")

    done = sessionstore("restore", "copy.db", "-d", "new.db", folder=folder)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "damaged, and nothing was restored" in done.stderr
    assert not [name for name in os.listdir(folder) if "new" in name]
