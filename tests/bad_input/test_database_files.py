"""URLs that point to what is no database, or none of ours: refused, and left as it was byte for byte."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, SchemaError, SessionManager
from tests.bad_input.conftest import MAX_MESSAGE_CHARACTERS
from tests.conftest import OpenManager
from tests.dumps import file_bytes, query

pytestmark = pytest.mark.filterwarnings("error")


def assert_refused(path: Path, what: str, error: type[Exception] = DatabaseUnavailableError) -> None:
    with pytest.raises(error, match=what) as caught:
        SessionManager(database_url=f"sqlite:///{path}")
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < MAX_MESSAGE_CHARACTERS + len(str(path))


def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    assert_refused(tmp_path / "missing" / "folder" / "sessions.db", "folder.*does not exist; create it first")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    assert_refused(tmp_path / "file" / "sessions.db", "check the path|folder")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert_refused(tmp_path, "it is a folder; give the path of a file in it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"Dear diary,\n", b"x", b"\0" * 4096, b"SQLite format 3\0", b"x" * 100_000],
    ids=lambda each: repr(each[:8]),
)
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(content)
    assert_refused(path, "no SQLite database|malformed|cannot be opened")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("table", ["photos", "sessions", "alembic_version"])
def test_another_applications_database_is_left_as_it_is(tmp_path: Path, table: str, journal_mode: str) -> None:
    path = tmp_path / "photos.db"
    query(path, f"PRAGMA journal_mode = {journal_mode}")
    query(path, f"CREATE TABLE {table} (version_num TEXT)")
    query(path, f"INSERT INTO {table} VALUES ('0002')")  # noqa: S608 - one of three names
    before = file_bytes(path)
    assert_refused(path, "another application's database, and was left as it is")
    assert file_bytes(path) == before


def test_an_empty_database_that_another_application_has_marked_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "marked.db"
    query(path, "PRAGMA application_id = 77")
    before = file_bytes(path)
    assert_refused(path, "another application's database")
    assert file_bytes(path) == before


def test_a_database_of_ours_with_other_columns_is_refused_by_table_and_column(
    open_manager: OpenManager, database: Path
) -> None:
    open_manager().shutdown()
    query(database, "ALTER TABLE scenes ADD COLUMN mood TEXT")
    before = file_bytes(database)
    assert_refused(database, "table scenes.*mood", SchemaError)
    assert file_bytes(database) == before


def test_a_database_of_ours_without_one_of_its_tables_is_refused(open_manager: OpenManager, database: Path) -> None:
    open_manager().shutdown()
    query(database, "DROP TABLE session_tombstones")
    before = file_bytes(database)
    assert_refused(database, "session_tombstones", SchemaError)
    assert file_bytes(database) == before


@pytest.mark.parametrize("kept_bytes", [100, 4096, 5000, 3 * 4096])
def test_a_truncated_database_is_refused_and_left_as_it_is(
    open_manager: OpenManager, database: Path, kept_bytes: int
) -> None:
    with open_manager() as manager:
        manager.create_session({"story_text": "A lamp."})
    content = database.read_bytes()[:kept_bytes]
    assert len(content) == kept_bytes
    database.write_bytes(content)
    assert_refused(database, "malformed|no SQLite database")
    assert database.read_bytes() == content


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert_refused(path, "no regular file")


def test_a_device_is_refused() -> None:
    assert_refused(Path("/dev/null"), "no regular file")


def test_a_file_with_a_second_name_is_refused_under_both(open_manager: OpenManager, database: Path) -> None:
    open_manager().shutdown()
    other = database.with_name("other.db")
    other.hardlink_to(database)
    before = file_bytes(database)
    for path in (database, other):
        assert_refused(path, "second name")
    assert file_bytes(database) == before


def test_a_link_to_nothing_is_refused_and_its_target_not_made(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "nothing.db")
    with pytest.raises(DatabaseUnavailableError, match="link to a file that is not there"):
        SessionManager(database_url=f"sqlite:///{tmp_path / 'link.db'}")
    assert [path.name for path in tmp_path.iterdir()] == ["link.db"]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").symlink_to(tmp_path / "b.db")
    (tmp_path / "b.db").symlink_to(tmp_path / "a.db")
    with pytest.raises(DatabaseUnavailableError, match=r"[ab]\.db"):
        SessionManager(database_url=f"sqlite:///{tmp_path / 'a.db'}")


def test_a_link_to_a_database_is_followed(open_manager: OpenManager, database: Path) -> None:
    link = database.with_name("link.db")
    link.symlink_to(database)
    open_manager().shutdown()
    with SessionManager(database_url=f"sqlite:///{link}") as manager:
        manager.create_session({"story_text": "A lamp."}, session_id="by link")
    assert open_manager().get_session("by link") is not None
    assert link.is_symlink()


# As an unprivileged user: root may write everywhere. Everything is imported first, and gives up its rights then.
OPEN_WITHOUT_PRIVILEGES = """
import os, sys
import alembic.command, alembic.autogenerate, sqlalchemy.dialects.sqlite
from sessionstore import DatabaseUnavailableError, SessionManager
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    SessionManager(database_url=sys.argv[1]).shutdown()
except DatabaseUnavailableError as error:
    print(error)
else:
    print("opened")
"""


def open_without_privileges(path: Path) -> str:
    """What an ordinary user is told who opens it."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN_WITHOUT_PRIVILEGES, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches, with a database in it that every user may write.

    Not below those that pytest makes, which it keeps to its own user.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        SessionManager(database_url=f"sqlite:///{folder / 'sessions.db'}").shutdown()
        (folder / "sessions.db").chmod(0o666)
        folder.chmod(0o777)
        yield folder


def test_an_unprivileged_user_opens_a_database_that_may_be_written(open_folder: Path) -> None:
    assert open_without_privileges(open_folder / "sessions.db") == "opened\n"


def test_a_read_only_file_is_refused_and_left_as_it_is(open_folder: Path) -> None:
    path = open_folder / "sessions.db"
    path.chmod(0o444)
    before = file_bytes(path)
    assert f"{path}: it may not be read and written; check its permissions" in open_without_privileges(path)
    assert file_bytes(path) == before


def test_an_unreadable_file_is_refused(open_folder: Path) -> None:
    path = open_folder / "sessions.db"
    path.chmod(0o000)
    assert f"{path}: it may not be read and written" in open_without_privileges(path)


def test_a_read_only_folder_is_refused_for_an_old_database_and_for_a_new_one(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    assert "folder may not be written" in open_without_privileges(open_folder / "sessions.db")
    assert "cannot be created (Permission denied)" in open_without_privileges(open_folder / "new.db")
    assert [path.name for path in open_folder.iterdir()] == ["sessions.db"]


def test_a_folder_that_may_not_be_entered_is_refused(open_folder: Path) -> None:
    open_folder.chmod(0o600)
    try:
        assert "cannot be reached (Permission denied)" in open_without_privileges(open_folder / "sessions.db")
    finally:
        open_folder.chmod(0o700)


def test_a_database_that_another_program_keeps_locked_is_refused_after_the_lock_timeout(
    open_manager: OpenManager, database: Path
) -> None:
    manager = open_manager(lock_timeout=0.2)
    session_id = manager.create_session({"story_text": "A lamp."})
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="lock_timeout"):
            manager.remove_session(session_id)
        other.execute("ROLLBACK")
    assert manager.get_session(session_id) is not None
