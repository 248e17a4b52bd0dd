"""The guard: opening and closing the database file inside the process does not cost SQLite its locks."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite import guard
from tests.concurrency import all_at_once, ask, manager_on, request

needs_guard = pytest.mark.skipif(not guard.IS_SUPPORTED, reason="only Linux has open-file-description locks")

OPEN_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sessions").fetchone()
connection.close()
"""


def let_another_process_open_and_close(database: Path) -> None:
    """Whoever believes to be the last one to close moves the WAL into the database, and deletes it."""
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(database)], check=True, timeout=30)


def read_as_files(database: Path) -> None:
    for side in ("", "-shm"):
        Path(f"{database}{side}").read_bytes()


def wal_inode(database: Path) -> int | None:
    wal = Path(f"{database}-wal")
    return wal.stat().st_ino if wal.exists() else None


@needs_guard
def test_a_store_that_closes_leaves_the_locks_of_another_in_the_same_process(database: Path) -> None:
    with manager_on(database) as stays:
        with manager_on(database) as closes:
            closes.create_session(request(), session_id="a")
        read_as_files(database)
        before = wal_inode(database)
        let_another_process_open_and_close(database)
        assert before is not None
        assert wal_inode(database) == before
        stays.create_session(request(), session_id="b")
    assert ask(database, "SELECT count(*) FROM sessions") == [(2,)]


@needs_guard
def test_a_store_opened_through_a_link_is_guarded_too(database: Path) -> None:
    real = database.with_name("real.db")
    manager_on(real).shutdown()
    database.symlink_to(real)
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        read_as_files(real)
        before = wal_inode(real)
        let_another_process_open_and_close(real)
        assert wal_inode(real) == before


def test_after_the_last_manager_is_shut_down_the_database_is_one_file(database: Path) -> None:
    first, second = manager_on(database), manager_on(database)
    first.create_session(request(), session_id="a")
    assert first.shutdown()
    assert Path(f"{database}-wal").exists()
    second.create_session(request(), session_id="b")
    assert second.shutdown()
    assert os.listdir(database.parent) == [database.name]
    moved = database.with_name("moved.db")
    database.rename(moved)
    assert ask(moved, "SELECT count(*) FROM sessions") == [(2,)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="file descriptors are counted in /proc")
def test_opening_and_closing_leaks_no_descriptor(database: Path) -> None:
    def open_and_close() -> None:
        with manager_on(database, durability="normal") as first, manager_on(database, durability="normal"):
            first.create_session(request())

    open_and_close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        open_and_close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert guard._held == {}


def test_a_failed_opening_leaks_no_descriptor_and_no_lock(database: Path, tmp_path: Path) -> None:
    database.write_text("no database " * 1000)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(10):
        with pytest.raises(Exception, match="database"):
            manager_on(database)
    assert (len(os.listdir("/proc/self/fd")) if before else 0) == before
    assert guard._held == {}


def test_threads_that_open_and_close_managers_on_one_file_do_not_disturb_each_other(database: Path) -> None:
    def open_write_and_close(name: str) -> None:
        for number in range(8):
            manager: SessionManager
            with manager_on(database, durability="normal", lock_timeout=30) as manager:
                manager.create_session(request(), session_id=f"{name}-{number}")

    all_at_once([partial(open_write_and_close, name) for name in "abcd"])
    assert ask(database, "SELECT count(*) FROM sessions") == [(32,)]
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]
    assert guard._held == {}
