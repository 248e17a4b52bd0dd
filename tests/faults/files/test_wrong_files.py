"""Each wrong file, by each way to open it: a typed error that says what and what to do, and not a byte is changed."""

import os
import shutil
import sqlite3
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessionstore import DatabaseUnavailableError, SchemaError, SessionManager, SessionManagerError
from sessionstore.cli import main
from sessionstore.persistence.engines.sqlite.file import JOURNAL_HEADER
from tests.concurrency import ask, manager_on, request
from tests.faults.files.wrong import NOT_A_STORE, OTHER_SCHEMAS
from tests.faults.tally import Tally

MAX_MESSAGE_CHARACTERS = 500
# What a message tells people to do.
REMEDIES = (
    *("give another", "give the path", "check the path", "check its", "mend or remove", "copy it", "upgrade"),
    *("restore", "run `sessionstore check`", "keep the file", "move it away", "migrate"),
)

Kept = dict[str, tuple[object, ...]]


def kept(folder: Path) -> Kept:
    """What is in the folder: kinds, contents and times. SQLite may make an empty -wal and a -shm to look."""
    found: Kept = {}
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        if path.name.endswith("-shm") or (path.name.endswith("-wal") and not status.st_size):
            continue
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[path.name] = (stat.S_IFMT(status.st_mode), status.st_ino, status.st_mtime_ns, status.st_nlink, content)
    return found


def by_manager(path: Path) -> Any:
    SessionManager(database_url=f"sqlite:///{path}").shutdown()


def by_a_manager_that_may_not_migrate(path: Path) -> Any:
    SessionManager(database_url=f"sqlite:///{path}", auto_migrate=False).shutdown()


WAYS_IN = [by_manager, by_a_manager_that_may_not_migrate]


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Path:
    """A closed store with three sessions, alone in its folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "sessions.db"
    shutil.copy(empty_store, path)
    with manager_on(path) as manager:
        for session_id in "abc":
            manager.create_session(request(), session_id=session_id)
    return path


def copies_of(store: Path, spoils: list[Callable[[Path], None]]) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """A copy for each, alone in its folder too."""
    for spoil in spoils:
        folder = store.parent.with_name(spoil.__name__)
        folder.mkdir()
        yield Path(shutil.copy(store, folder)), spoil


def assert_refused(path: Path, open_it: Callable[[Path], Any], kind: type[SessionManagerError]) -> None:
    before = kept(path.parent)
    with pytest.raises(kind) as caught:
        open_it(path)
    message = str(caught.value)
    assert str(path) in message
    assert any(remedy in message for remedy in REMEDIES), message
    assert len(message) < MAX_MESSAGE_CHARACTERS + len(str(path))
    assert kept(path.parent) == before


@pytest.mark.parametrize("open_it", WAYS_IN)
def test_what_is_no_store_or_has_another_schema_is_refused_and_left_as_it_was(
    store: Path, open_it: Callable[[Path], Any], tally: Tally
) -> None:
    taken = []
    for path, spoil in copies_of(store, [*NOT_A_STORE, *OTHER_SCHEMAS]):
        spoil(path)
        try:
            assert_refused(path, open_it, SchemaError if spoil in OTHER_SCHEMAS else DatabaseUnavailableError)
        except (AssertionError, pytest.fail.Exception) as error:
            taken.append(f"{spoil.__name__}: {error}")
    cases = len(NOT_A_STORE) + len(OTHER_SCHEMAS)
    way = open_it.__name__.replace("_", " ")
    tally(f"wrong files, opened {way}", f"{cases} files", f"{len(taken)} taken or changed")
    assert taken == []


# One of each family, for a process each.
FAMILIES = [
    spoil
    for spoil in (*NOT_A_STORE, *OTHER_SCHEMAS)
    if spoil.__name__
    in {
        "a_story",
        "cut_in_the_middle",
        "somebody_elses",
        "somebody_elses_in_wal_mode",
        "a_newer_schema",
        "a_folder",
        "a_pipe",
        "beside_another_applications_wal",
    }
]


@pytest.mark.parametrize("spoil", FAMILIES)
def test_every_command_refuses_it_too_and_leaves_it_as_it_was(
    store: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(store)
    before = kept(store.parent)
    for command in (["list"], ["show", "a"], ["stats"], ["check"], ["migrate"], ["cleanup", "--yes"], ["metrics"]):
        monkeypatch.setattr("sys.argv", ["sessionstore", *command, "--database", str(store)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code not in {0, None}, command
        assert "Traceback" not in said.err, command
        assert kept(store.parent) == before, command


def leave_alone(path: Path) -> None:
    """As it is."""


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link_to_it(path: Path) -> None:
    path.rename(path.with_name("real.db"))
    path.symlink_to("real.db")


def in_utf_16(path: Path) -> None:
    _made_with(path, "PRAGMA encoding = 'UTF-16'", "PRAGMA application_id = 0x73657373")


def marked_as_ours_and_empty(path: Path) -> None:
    _made_with(path, "PRAGMA application_id = 0x73657373")


def with_small_pages(path: Path) -> None:
    _made_with(path, "PRAGMA page_size = 512", "PRAGMA application_id = 0x73657373")


def with_large_pages(path: Path) -> None:
    _made_with(path, "PRAGMA page_size = 65536", "PRAGMA application_id = 0x73657373")


def vacuumed_with_other_pages(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 8192", "VACUUM"):
            connection.execute(statement)


def beside_a_damaged_wal(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"garbage" * 1000)


def _made_with(path: Path, *statements: str) -> None:
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


SOUND = [
    *(leave_alone, empty, link_to_it, in_utf_16, marked_as_ours_and_empty, with_small_pages, with_large_pages),
    *(vacuumed_with_other_pages, beside_a_damaged_wal),
]


@pytest.mark.parametrize("make", SOUND)
def test_control_a_file_that_only_looks_unusual_is_taken(store: Path, make: Callable[[Path], None]) -> None:
    """The same question as of the wrong ones has the other answer here."""
    make(store)
    before = kept(store.parent)
    with pytest.raises(pytest.fail.Exception):
        assert_refused(store, by_manager, SessionManagerError)
    with manager_on(store) as manager:
        manager.create_session(request(), session_id="new")
        assert manager.get_session("new") is not None
    assert kept(store.parent) != before
    assert ask(store, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def in_use(store: Path) -> Iterator[SessionManager]:
    """A manager on the store, with nothing of it in the memory of a connection yet."""
    manager = manager_on(store)
    yield manager
    assert manager.shutdown()


@pytest.mark.parametrize("kept_bytes", [0, 100, 4096, 20_000])
def test_no_write_is_acknowledged_into_a_file_that_was_cut_while_it_was_open(
    store: Path, in_use: SessionManager, kept_bytes: int
) -> None:
    os.truncate(store, kept_bytes)
    for number in range(3):
        with pytest.raises(DatabaseUnavailableError, match=r"malformed|sessionstore check"):
            in_use.create_session(request(), session_id=f"new-{number}")
    assert store.stat().st_size == kept_bytes


def journal_of_first_page(path: Path) -> bytes:
    """What SQLite writes before it changes the first page only, as the switch to WAL does."""
    content, page_bytes, nonce, sector_bytes = path.read_bytes(), 4096, 4711, 512
    page = content[:page_bytes]
    mark = bytes.fromhex("d9d505f920a163d7")
    header = JOURNAL_HEADER.pack(mark, 1, nonce, len(content) // page_bytes, sector_bytes, page_bytes)
    checksum = (nonce + sum(page[page_bytes - 200 : 0 : -200])) % 2**32
    return header.ljust(sector_bytes, b"\0") + struct.pack(">I", 1) + page + struct.pack(">I", checksum)


def test_a_snapshot_whose_switch_to_wal_was_cut_off_is_opened_with_all_that_is_in_it(store: Path) -> None:
    snapshot = store.with_name("snapshot.db")
    with manager_on(store) as manager:
        manager.snapshot(snapshot)
    Path(f"{snapshot}-journal").write_bytes(journal_of_first_page(snapshot))
    with open(snapshot, "r+b") as file:
        file.seek(18)
        file.write(b"\2\2")
    with manager_on(snapshot) as manager:
        assert manager.get_session_count() == 3
    assert not Path(f"{snapshot}-journal").exists()
