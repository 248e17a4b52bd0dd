"""The database as a file: private, ours or nobody's, and still the one that was opened."""

import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, SessionManager, SessionManagerError
from tests.concurrency import all_at_once, ask, engine_of, manager_on, request

SIDES = ("", "-wal", "-shm")


def remove(database: Path) -> None:
    database.unlink()


def rename(database: Path) -> None:
    database.rename(database.with_name("away.db"))


def replace(database: Path) -> None:
    other = database.with_name("other.db")
    shutil.copy(database, other)
    other.replace(database)


def link(database: Path) -> None:
    os.link(database, database.with_name("second-name.db"))


def remove_wal(database: Path) -> None:
    Path(f"{database}-wal").unlink()


def test_a_new_database_and_what_sqlite_puts_beside_it_are_readable_to_the_owner_only(database: Path) -> None:
    before = os.umask(0o022)
    try:
        with manager_on(database) as manager:
            manager.create_session(request())
            modes = {side: stat.S_IMODE(os.stat(f"{database}{side}").st_mode) for side in SIDES}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(SIDES, 0o600)


@pytest.mark.parametrize("happening", [remove, rename, replace, link, remove_wal])
def test_a_write_into_a_file_that_is_not_there_any_more_is_not_acknowledged(
    database: Path, happening: Callable[[Path], None]
) -> None:
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="before")
        happening(database)
        for write in (
            lambda: manager.create_session(request(), session_id="after"),
            lambda: manager.with_session_lock("before", lambda session: session.metadata.update(n=1)),
        ):
            with pytest.raises(DatabaseUnavailableError) as caught:
                write()
            assert caught.value.in_doubt


def test_everybody_of_a_group_hears_that_the_file_is_gone(database: Path) -> None:
    def write(number: int) -> bool:
        with pytest.raises(DatabaseUnavailableError) as caught:
            manager.create_session(request(), session_id=str(number))
        return bool(caught.value.in_doubt)

    with manager_on(database) as manager:
        remove(database)
        assert all(all_at_once([partial(write, number) for number in range(8)]))


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_a_file_that_is_put_back_has_every_acknowledged_write(database: Path, is_looked_at: bool) -> None:
    away = database.with_name("away.db")
    with manager_on(database) as manager:
        for number in range(5):
            manager.create_session(request(), session_id=str(number))
        mode = database.stat().st_mode
        database.rename(away)
        with pytest.raises(DatabaseUnavailableError):
            manager.create_session(request(), session_id="in doubt")
        if is_looked_at:
            with suppress(SessionManagerError):
                manager.check()
        away.replace(database)
        assert manager.create_session(request(), session_id="repeated") == "repeated"
        # A process that dies now must find them there too, in the database or in its WAL.
        assert (database.stat().st_mode, Path(f"{database}-wal").exists()) == (mode, True)
    with manager_on(database) as manager:
        assert {str(number) for number in range(5)} <= {each["session_id"] for each in manager.get_all_sessions_info()}


def read_with_many_threads(manager: SessionManager) -> None:
    barrier = threading.Barrier(12)

    def read(_: object) -> None:
        barrier.wait(10)

    all_at_once([lambda: engine_of(manager).read(read)] * 12)


@pytest.mark.parametrize(
    "use",
    [
        SessionManager.check,
        lambda manager: manager.backup(Path(manager.settings.database_url[10:]).with_name("backup.db")),
        read_with_many_threads,
    ],
)
def test_no_new_empty_file_appears_where_the_database_was(
    database: Path, use: Callable[[SessionManager], object]
) -> None:
    with manager_on(database) as manager:
        manager.create_session(request())
        remove(database)
        with suppress(SessionManagerError):
            use(manager)
        assert not database.exists()


def make_foreign(database: Path, journal_mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, cookie TEXT)")
    connection.execute("INSERT INTO sessions (cookie) VALUES ('theirs')")
    return connection


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("is_in_use", [False, True])
def test_another_applications_database_is_left_byte_for_byte_as_it_was(
    database: Path, journal_mode: str, is_in_use: bool
) -> None:
    with closing(make_foreign(database, journal_mode)) as theirs:
        if not is_in_use:
            theirs.close()
        files = [Path(f"{database}{side}") for side in ("", "-wal") if os.path.exists(f"{database}{side}")]
        before = [(file, file.stat().st_ino, file.read_bytes()) for file in files]
        with pytest.raises(DatabaseUnavailableError, match="another application's"):
            manager_on(database)
        assert [(file, file.stat().st_ino, file.read_bytes()) for file in files] == before
        if is_in_use:
            theirs.execute("INSERT INTO sessions (cookie) VALUES ('more')")


def test_a_crashed_applications_wal_is_not_put_away(database: Path) -> None:
    with closing(make_foreign(database, "wal")):
        crashed = database.with_name("crashed.db")
        for side in ("", "-wal"):
            shutil.copy(f"{database}{side}", f"{crashed}{side}")
    before = [Path(f"{crashed}{side}").read_bytes() for side in ("", "-wal")]
    with pytest.raises(DatabaseUnavailableError, match="another application's"):
        manager_on(crashed)
    assert [Path(f"{crashed}{side}").read_bytes() for side in ("", "-wal")] == before


def test_a_crashed_applications_rollback_journal_is_not_played_back(database: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    with closing(sqlite3.connect(theirs, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
            "INSERT INTO songs SELECT printf('%0500d', i) FROM n"
        )
        # As a power cut would leave it: pages that are not committed, and the journal that takes them back.
        for suffix in ("", "-journal"):
            shutil.copy(f"{theirs}{suffix}", f"{database}{suffix}")
    before = [Path(f"{database}{suffix}").read_bytes() for suffix in ("", "-journal")]
    with pytest.raises(DatabaseUnavailableError, match="another application's"):
        manager_on(database)
    assert [Path(f"{database}{suffix}").read_bytes() for suffix in ("", "-journal")] == before
    # The control: SQLite does play it back for whoever may write.
    assert ask(database, "SELECT count(*) FROM songs") == [(0,)]


def test_a_text_file_is_left_as_it_was(database: Path) -> None:
    database.write_text("Once upon a time, this was no database at all.\n" * 100)
    before = database.read_bytes()
    with pytest.raises(DatabaseUnavailableError, match="no SQLite database"):
        manager_on(database)
    assert database.read_bytes() == before
    assert os.listdir(database.parent) == [database.name]


def test_an_empty_file_is_adopted(database: Path) -> None:
    database.touch()
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
    assert ask(database, "SELECT session_id FROM sessions") == [("a",)]


def test_a_database_may_be_opened_through_a_symbolic_link(database: Path) -> None:
    folder = database.with_name("elsewhere")
    folder.mkdir()
    real = folder / "real.db"
    with manager_on(real) as manager:
        manager.create_session(request(), session_id="a")
    database.symlink_to(real)
    with manager_on(database) as manager, manager_on(real) as direct:
        assert manager.create_session(request(), session_id="b") == "b"
        assert direct.get_session("b") is not None
    assert ask(real, "SELECT session_id FROM sessions ORDER BY 1") == [("a",), ("b",)]


def test_a_link_that_is_turned_to_another_file_takes_no_acknowledged_write(database: Path) -> None:
    first, second = database.with_name("first.db"), database.with_name("second.db")
    for real in (first, second):
        manager_on(real).shutdown()
    database.symlink_to(first)
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        database.unlink()
        database.symlink_to(second)
        with pytest.raises(DatabaseUnavailableError):
            manager.create_session(request(), session_id="b")


def test_a_relative_path_is_fixed_when_the_manager_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with manager_on(Path("s.db")) as manager:
        monkeypatch.chdir(tmp_path / "elsewhere")
        manager.create_session(request(), session_id="a")
        assert manager.check()
    assert os.listdir(tmp_path / "elsewhere") == []
    assert ask(tmp_path / "s.db", "SELECT session_id FROM sessions") == [("a",)]
