"""A store from a backup: examined first, never over anything, and nothing left behind when it is refused."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, SchemaError, SessionManager, restore
from sessionstore.persistence.engines.sqlite import copies
from tests.concurrency import manager_on
from tests.dumps import dump, query

STORY = {"story_text": "A lamp."}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Of a store with the sessions 'a' and 'b', alone in a folder."""
    path = tmp_path / "backups" / "b.db"
    path.parent.mkdir()
    with manager_on(tmp_path / "first.db") as manager:
        for session_id in ("a", "b"):
            manager.create_session(STORY, session_id=session_id)
        manager.backup(path)
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Where a store is to be, alone in a folder."""
    path = tmp_path / "restored" / "s.db"
    path.parent.mkdir()
    return path


def ids(database: Path) -> list[str]:
    return [session_id for (session_id,) in query(database, "SELECT session_id FROM sessions ORDER BY 1")]


def is_refused(backup: Path, new: Path, because: str, error: type[Exception] = DatabaseUnavailableError) -> bool:
    """It is, and leaves all files as they were."""
    folders = (backup.parent, new.parent)
    before = [{each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()} for folder in folders]
    with pytest.raises(error, match=because):
        restore(backup, f"sqlite:///{new}")
    return before == [
        {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()} for folder in folders
    ]


def test_a_restored_store_is_the_one_that_was_copied(backup: Path, new: Path) -> None:
    told: list[tuple[int, int]] = []

    restore(str(backup), f"sqlite:///{new}", progress=lambda done, total: told.append((done, total)))

    assert dump(new) == dump(backup)
    assert oct(new.stat().st_mode)[-3:] == "600"
    assert told[-1] == (new.stat().st_size, new.stat().st_size)
    assert (os.listdir(new.parent), os.listdir(backup.parent)) == (["s.db"], ["b.db"])
    with manager_on(new) as manager:
        manager.create_session(STORY, session_id="c")
    assert ids(new) == ["a", "b", "c"]


def test_without_a_url_the_setting_says_where(backup: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_DATABASE_URL", f"sqlite:///{new}")

    restore(backup)

    assert ids(new) == ["a", "b"]


def test_a_store_that_is_there_stays(backup: Path, new: Path) -> None:
    with manager_on(new) as manager:
        manager.create_session(STORY, session_id="mine")

    assert is_refused(backup, new, "not overwritten")
    assert ids(new) == ["mine"]


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_beside_what_is_left_of_a_store_nothing_is_restored(ending: str, backup: Path, new: Path) -> None:
    Path(f"{new}{ending}").write_bytes(b"the last writes of a store that was there")

    assert is_refused(backup, new, f"s.db{ending} of a database that was there")


def test_control_a_copy_beside_an_old_wal_would_hold_what_was_in_that(backup: Path, new: Path) -> None:
    shutil.copy(backup, new)
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("DELETE FROM sessions")
        wal = Path(f"{new}-wal").read_bytes()
    for file in new.parent.iterdir():
        file.unlink()

    Path(f"{new}-wal").write_bytes(wal)
    shutil.copy(backup, new)

    assert ids(new) == []


def test_a_link_that_leads_nowhere_is_not_followed(backup: Path, new: Path, tmp_path: Path) -> None:
    new.symlink_to(tmp_path / "elsewhere.db")

    restore(backup, f"sqlite:///{new}")

    assert ids(tmp_path / "elsewhere.db") == ["a", "b"]


def spoil_page(backup: Path) -> None:
    (row,) = query(backup, "SELECT rootpage FROM sqlite_schema WHERE name = 'session_events'")
    ((page_bytes,),) = query(backup, "PRAGMA page_size")
    with backup.open("r+b") as file:
        file.seek((row[0] - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)


def orphan(backup: Path) -> None:
    query(backup, "INSERT INTO scenes VALUES ('nobody', 1, 1, '2026-01-01', '2026-01-01', '{}', NULL)")


def flip(backup: Path) -> None:
    query(backup, "UPDATE sessions SET media_type = 'other'")


def cut(backup: Path) -> None:
    os.truncate(backup, backup.stat().st_size // 2)


def be_of_another_application(backup: Path) -> None:
    query(backup, "PRAGMA application_id = 5")


def be_empty(backup: Path) -> None:
    os.truncate(backup, 0)


def be_text(backup: Path) -> None:
    backup.write_text("Once upon a time. " * 100)


def be_a_folder(backup: Path) -> None:
    backup.unlink()
    backup.mkdir()


def be_a_pipe(backup: Path) -> None:
    backup.unlink()
    os.mkfifo(backup)


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (spoil_page, "damaged, and nothing was restored"),
        (orphan, r"damaged, and nothing was restored \(rows of scenes have no session\)"),
        (flip, r"damaged, and nothing was restored \(state of sessions a does not match its checksum"),
        (cut, "malformed"),
        (be_of_another_application, "another application's"),
        (be_empty, "empty, and no backup"),
        (be_text, "no SQLite database"),
        (be_a_folder, "no regular file"),
        (be_a_pipe, "no regular file"),
        (Path.unlink, "cannot be reached"),
    ],
)
def test_what_is_no_sound_backup_is_refused(
    spoil: Callable[[Path], object], because: str, backup: Path, new: Path
) -> None:
    spoil(backup)
    for ending in ("-wal", "-shm"):
        Path(f"{backup}{ending}").unlink(missing_ok=True)

    if spoil is be_a_pipe:
        with pytest.raises(DatabaseUnavailableError, match=because):
            restore(backup, f"sqlite:///{new}")
    else:
        assert is_refused(backup, new, because)


def test_a_backup_of_a_newer_version_is_refused(backup: Path, new: Path) -> None:
    query(backup, "UPDATE alembic_version SET version_num = '9999'")

    assert is_refused(backup, new, "upgrade sessionstore", SchemaError)


def test_a_backup_in_a_folder_that_cannot_be_written_is_restored(backup: Path, new: Path) -> None:
    backup.parent.chmod(0o500)
    try:
        restore(backup, f"sqlite:///{new}")
    finally:
        backup.parent.chmod(0o700)

    assert ids(new) == ["a", "b"]


def test_a_copy_that_somebody_made_with_cp_is_restored_with_what_is_in_its_wal(tmp_path: Path, new: Path) -> None:
    copy = tmp_path / "copied" / "b.db"
    copy.parent.mkdir()
    with manager_on(tmp_path / "first.db") as manager:
        manager.create_session(STORY, session_id="a")
        for ending in ("", "-wal"):
            shutil.copy(tmp_path / f"first.db{ending}", f"{copy}{ending}")
        # Control: it is in the WAL only.
        shutil.copy(copy, tmp_path / "without.db")
    assert ids(tmp_path / "without.db") == []
    before = copy.read_bytes(), Path(f"{copy}-wal").read_bytes()

    restore(copy, f"sqlite:///{new}")

    assert ids(new) == ["a"]
    assert before == (copy.read_bytes(), Path(f"{copy}-wal").read_bytes())


def test_a_file_that_is_written_to_while_it_is_copied_is_refused(
    backup: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "STEP_PAGES", 4)
    written: list[str] = []

    def write(done: int, total: int) -> None:
        if not written:
            with SessionManager(None, database_url=f"sqlite:///{backup}") as manager:
                written.append(manager.create_session(STORY))

    with pytest.raises(DatabaseUnavailableError, match="it is in use"):
        restore(backup, f"sqlite:///{new}", progress=write)

    assert os.listdir(new.parent) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("nobody looks on")])
def test_an_interrupted_restore_leaves_nothing(error: BaseException, backup: Path, new: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise error

    with pytest.raises((KeyboardInterrupt, OSError)):
        restore(backup, f"sqlite:///{new}", progress=stop)

    assert (os.listdir(new.parent), os.listdir(backup.parent)) == ([], ["b.db"])
