"""`sessionstore watch` and `sessionstore top`, as people and scripts meet them."""

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from sessionstore import SessionManager
from sessionstore.testing import ManualClock
from tests.concurrency import manager_on, request, scene, wait_until
from tests.test_cli import on_a_terminal, sessionstore


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[SessionManager]:
    """The backend: it has session 'a' in work."""
    manager = manager_on(tmp_path / "sessionstore.db")
    manager.create_session(request(), session_id="a")
    manager.update_session_status("a", "processing")
    yield manager
    assert manager.shutdown()


@contextmanager
def watching(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-m", "sessionstore", "watch", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(stream: IO[str] | None) -> list[str]:
    assert stream is not None
    return stream.readline().rstrip("\n").split("\t")


def test_watch_prints_a_line_for_each_change_as_it_comes_and_ends_well_with_a_completion(
    manager: SessionManager, tmp_path: Path
) -> None:
    with watching(tmp_path, "a") as process:
        columns, state = line(process.stdout), line(process.stdout)
        manager.add_scene_to_session("a", scene(3))
        added = dict(zip(columns, line(process.stdout), strict=True))
        manager.update_session_status("a", "completed")
        ended, errors = process.communicate(timeout=30)

    assert (state[1:3], added["event_type"], added["scene_number"], added["scenes"]) == (
        ["state", "processing"],
        "scene_added",
        "3",
        "1/5",
    )
    assert [each.split("\t")[1:3] for each in ended.splitlines()] == [["status_changed", "completed"]]
    assert (process.returncode, errors) == (0, "")


def test_watch_goes_on_behind_a_cursor_with_json_a_line(manager: SessionManager, tmp_path: Path) -> None:
    cursor = next(manager.watch("a")).cursor
    manager.add_scene_to_session("a", scene(1))
    manager.update_session_status("a", "failed", "boom")

    done = sessionstore("watch", "a", "--after", cursor, "--json", folder=tmp_path)
    items = [json.loads(each) for each in done.stdout.splitlines()]
    again = sessionstore("watch", "a", "--after", items[-1]["cursor"], folder=tmp_path)

    assert [each["event_type"] for each in items] == ["scene_added", "status_changed"]
    assert items[-1]["session"]["error_message"] == "boom"
    assert (done.returncode, again.returncode, len(again.stdout.splitlines())) == (1, 1, 1)


def test_watch_fails_for_a_session_that_goes_or_never_was(manager: SessionManager, tmp_path: Path) -> None:
    with watching(tmp_path, "a") as process:
        line(process.stdout), line(process.stdout)
        manager.remove_session("a")
        gone, _ = process.communicate(timeout=30)
    never = sessionstore("watch", "nothing", folder=tmp_path)

    assert (process.returncode, gone.split("\t")[1]) == (1, "removed")
    assert (never.returncode, never.stdout) == (1, "")
    assert "there is no session 'nothing'" in never.stderr


def test_watch_says_why_it_fails_when_it_has_nothing_to_print(manager: SessionManager, tmp_path: Path) -> None:
    cursor = next(manager.watch("a")).cursor
    manager.update_session_status("a", "failed", "boom")
    *_, failed = manager.watch("a", after=cursor)
    still_failed = sessionstore("watch", "a", "--after", failed.cursor, "--json", folder=tmp_path)
    manager.remove_session("a")
    *_, gone = manager.watch("a", after=failed.cursor)
    still_gone = sessionstore("watch", "a", "--after", gone.cursor, "--json", folder=tmp_path)

    assert [(each.returncode, each.stdout) for each in (still_failed, still_gone)] == [(1, ""), (1, "")]
    assert still_failed.stderr == "nothing happened to session 'a' since that cursor: it is failed\n"
    assert re.fullmatch(
        r"nothing happened to session 'a' since that cursor: it was removed on \S+ \S+, as failed\n", still_gone.stderr
    )


def test_ctrl_c_ends_a_watch_with_130(manager: SessionManager, tmp_path: Path) -> None:
    with watching(tmp_path, "a") as process:
        line(process.stdout), line(process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, "Traceback" in errors) == (130, False)


def test_watch_on_a_terminal_is_readable(manager: SessionManager, tmp_path: Path) -> None:
    manager.add_scene_to_session("a", scene(1))
    manager.update_session_progress("a", 2, 5, "drawing \x1b]0;evil\x07 the sun")
    manager.update_session_status("a", "completed")

    seen = on_a_terminal("watch", "a", folder=tmp_path)

    assert re.search(r"state +completed +1/5 scenes +100%  drawing .*the sun", seen)
    assert "\x1b]0" not in seen


def test_top_on_a_pipe_prints_what_is_worked_on_then_what_waits_then_what_is_finished(
    manager: SessionManager, tmp_path: Path
) -> None:
    manager.create_session(request(), session_id="finished")
    manager.update_session_status("finished", "completed")
    manager.create_session(request(), session_id="waiting")
    manager.add_scene_to_session("a", scene(1))
    manager.update_session_progress("a", 1, 4, "drawing")

    rows = [each.split("\t") for each in sessionstore("top", folder=tmp_path).stdout.splitlines()]
    shown = json.loads(sessionstore("top", "--json", folder=tmp_path).stdout)

    assert [row[0] for row in rows] == ["session_id", "a", "waiting", "finished"]
    assert dict(zip(rows[0], rows[1], strict=True)) == {
        "session_id": "a",
        "status": "processing",
        "progress": "25%",
        "scenes": "1/5",
        "age": rows[1][4],
        "step": "drawing",
    }
    assert shown["status_breakdown"]["pending"] == 1
    assert [each["session_id"] for each in shown["sessions"]] == ["a", "waiting", "finished"]


def test_top_shows_the_others_when_some_cannot_be_read_and_says_which(manager: SessionManager, tmp_path: Path) -> None:
    clock = ManualClock()
    with manager_on(tmp_path / "sessionstore.db", clock=clock) as backend:
        for number in range(6):
            clock.advance(seconds=1)
            backend.create_session(request(), session_id=f"waiting-{number}")
    with sqlite3.connect(tmp_path / "sessionstore.db") as database:
        spoil = "UPDATE sessions SET request_data = '{}' WHERE session_id = ?"
        spoiled = ["a", "waiting-1", "waiting-4"]
        database.executemany(spoil, [(each,) for each in spoiled])
    database.close()

    done = sessionstore("top", folder=tmp_path)
    shown = sessionstore("top", "--json", folder=tmp_path)
    seen = on_a_terminal("top", "--once", folder=tmp_path, columns=120)

    readable = ["waiting-5", "waiting-3", "waiting-2", "waiting-0"]
    assert [each.split("\t")[0] for each in done.stdout.splitlines()] == ["session_id", *readable]
    assert [each["session_id"] for each in json.loads(shown.stdout)["sessions"]] == readable
    for errors in (done.stderr, shown.stderr):
        assert sorted(re.findall("left out session '(.+?)'", errors)) == spoiled
    assert "0 cancelled; 3 cannot be read: a, ..." in seen


def test_top_once_on_a_terminal_prints_as_many_rows_as_fit(manager: SessionManager, tmp_path: Path) -> None:
    for number in range(30):
        manager.create_session(request(), session_id=f"waiting-{number}")

    seen = on_a_terminal("top", "--once", folder=tmp_path, LINES="16")

    assert "31 sessions: 30 pending, 1 processing" in seen
    assert "│ a " in seen
    assert seen.count("waiting-") == 9


def test_top_on_a_terminal_is_redrawn_when_something_changes_until_ctrl_c(
    manager: SessionManager, tmp_path: Path
) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sessionstore", "top"]
    environment = os.environ | {"COLUMNS": "120", "LINES": "20", "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen: list[bytes] = []

    def has_come(text: bytes) -> bool:
        seen.append(os.read(controller, 65536))
        return text in b"".join(seen)

    try:
        wait_until(lambda: has_come(b"1 processing"), "the first table")
        manager.create_session(request(), session_id="newcomer")
        wait_until(lambda: has_come(b"newcomer"), "the table with the new session")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        os.close(controller)
