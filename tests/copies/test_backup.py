"""A backup: consistent beside busy writers, surely at an end, telling how far it is, leaving nothing when it fails."""

import os
import sqlite3
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.persistence.engines.sqlite import copies
from tests.concurrency import Caller, ask, manager_on, wait_until
from tests.workers import Worker, say, wait_for_go

STEP_PAGES = 8  # A few hundred steps for a store of some megabytes.


class Writer(Worker):
    """Another process that creates sessions as fast as it can, each with as many scenes as its metadata says."""

    module = "tests.copies.test_backup"


def write(database: str) -> None:
    with manager_on(Path(database), durability="normal", lock_timeout=30) as manager:
        say("ready")
        wait_for_go()
        while True:
            with manager.transaction():
                session_id = manager.create_session({"story_text": "A lamp."}, metadata={"scenes": 2})
                for number in (1, 2):
                    texts = dict.fromkeys(("title", "description", "image_prompt"), "A lamp.")
                    manager.add_scene_to_session(session_id, {"scene_number": number, **texts})


def fill(database: Path) -> None:
    with manager_on(database, durability="normal") as manager:
        for _ in range(4):
            manager.create_session({"story_text": "A lamp."}, metadata={"notes": "A lamp. " * 100_000, "scenes": 0})


def test_a_backup_beside_two_busy_processes_ends_and_is_of_one_moment(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "STEP_PAGES", STEP_PAGES)
    fill(database)
    told: list[tuple[int, int]] = []
    count = "SELECT count(*) FROM sessions"
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer("write", database)) for _ in range(2)]
        manager = stack.enter_context(manager_on(database))
        for writer in writers:
            writer.expect("ready")
            writer.go()
        wait_until(lambda: ask(database, count)[0][0] > 20, "the writers")
        before = ask(database, count)[0][0]

        def watch(done: int, total: int) -> None:
            told.append((done, total))
            # Nobody copies faster than they write.
            wait_until(lambda: ask(database, count)[0][0] > before + len(told) / 10, "the writers")

        manager.backup(tmp_path / "copy", watch)
        assert ask(database, count)[0][0] > before + 10

    assert len(told) > 100
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == (tmp_path / "copy").stat().st_size
    assert ask(tmp_path / "copy", "PRAGMA integrity_check") == [("ok",)]
    torn = (
        "SELECT session_id FROM sessions WHERE json_extract(metadata, '$.scenes') <> "
        "(SELECT count(*) FROM scenes WHERE scenes.session_id = sessions.session_id)"
    )
    assert ask(tmp_path / "copy", torn) == []


def test_control_steps_without_one_snapshot_begin_anew_with_every_write(database: Path, tmp_path: Path) -> None:
    fill(database)
    remaining: list[int] = []

    class EnoughError(Exception):
        pass

    def watch(status: int, left: int, total: int) -> None:
        remaining.append(left)
        other.create_session({"story_text": "A lamp."})
        # Three times as many steps as a copy takes that is left in peace.
        if len(remaining) > 3 * total / STEP_PAGES:
            raise EnoughError

    # By another process's rules: a connection of its own, which the copying one hears nothing of.
    with (
        manager_on(database, durability="normal") as other,
        closing(sqlite3.connect(database)) as source,
        closing(sqlite3.connect(tmp_path / "copy")) as target,
        pytest.raises(EnoughError),
    ):
        source.backup(target, pages=STEP_PAGES, progress=watch)

    assert min(remaining) > 0


def test_what_the_progress_raises_ends_the_backup_and_nothing_is_left(manager: SessionManager, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()

    def stop(done: int, total: int) -> None:
        raise OSError("nobody looks on any more")

    with pytest.raises(OSError, match="nobody looks on"):
        manager.backup(folder / "copy", stop)

    assert os.listdir(folder) == []
    manager.backup(folder / "copy")
    assert os.listdir(folder) == ["copy"]


def test_a_progress_that_cannot_be_called_is_refused(manager: SessionManager, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="progress must be callable, not int"):
        manager.backup(tmp_path / "copy", 5)  # type: ignore[arg-type]


def test_two_threads_that_copy_to_one_name_do_not_spoil_each_others_copy(
    manager: SessionManager, tmp_path: Path
) -> None:
    copying, go_on = threading.Event(), threading.Event()

    def wait(done: int, total: int) -> None:
        copying.set()
        assert go_on.wait(30)

    first = Caller(lambda: manager.backup(tmp_path / "copy", wait))
    assert copying.wait(30)
    with pytest.raises(DatabaseUnavailableError, match="not overwritten"):
        manager.backup(tmp_path / "copy")
    go_on.set()
    first.thread.join(30)

    assert first.error is None
    assert ask(tmp_path / "copy", "PRAGMA integrity_check") == [("ok",)]


def test_a_backup_is_private_whatever_the_umask(manager: SessionManager, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        manager.backup(tmp_path / "copy")
    finally:
        os.umask(before)

    assert oct((tmp_path / "copy").stat().st_mode)[-3:] == "600"


if __name__ == "__main__":
    write(sys.argv[2])
