"""Whatever the umask, only the owner reads what the store makes; and folders stay as they are."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite import file
from sessionstore.testing import create_test_session_manager
from tests.conftest import OpenManager

REQUEST = {"story_text": "A lamp."}


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct, autouse=True)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes_in(folder: Path) -> dict[str, int]:
    """Of all files, those that SQLite makes while it is in use too."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}


def test_a_store_and_its_copies_are_their_owners_only(open_manager: OpenManager, tmp_path: Path) -> None:
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    manager: SessionManager = open_manager()
    manager.create_session(REQUEST)
    manager.backup(tmp_path / "backup.db")
    manager.snapshot(tmp_path / "snapshot.db")

    modes = modes_in(tmp_path)

    assert set(modes) == {"sessions.db", "sessions.db-wal", "sessions.db-shm", "backup.db", "snapshot.db"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before


def test_what_is_made_of_a_backup_is_its_owners_too(open_manager: OpenManager, tmp_path: Path) -> None:
    open_manager().backup(tmp_path / "backup.db")
    copied = open_manager(database_url=f"sqlite:///{tmp_path / 'backup.db'}")
    copied.create_session(REQUEST)

    assert set(modes_in(tmp_path).values()) == {0o600}


def test_the_folder_of_a_store_for_tests_is_its_owners() -> None:
    with create_test_session_manager() as manager:
        folder = Path(str(manager._store.engine)).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert set(modes_in(folder).values()) == {0o600}


def test_control_without_the_mode_others_could_read(
    open_manager: OpenManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.umask(0o022)
    monkeypatch.setattr(file.DatabaseFile, "_create", lambda self: self.path.touch())
    open_manager().create_session(REQUEST)

    assert set(modes_in(tmp_path).values()) == {0o644}
