"""Analysts beside writers: who reads with a program of their own sees whole answers, and is in nobody's way."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sessionstore import GenerationRequest, SessionManager
from sessionstore.operations.summaries import sum_up
from sessionstore.persistence.views import REPORTS
from tests.concurrency import PATIENCE_SECONDS, all_at_once, ask, manager_on, scene, wait_until
from tests.dumps import text_of

WRITERS = 8
ROUNDS = 25
GENERATIONS = 4


class Analyst:
    """The handle on a process of `analyst.py`."""

    def __init__(self, path: Path, user: int) -> None:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        command = [sys.executable, str(Path(__file__).with_name("analyst.py")), str(path), str(user)]
        self._process = subprocess.Popen(command, text=True, **pipes)
        self._timer = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        self._timer.start()
        assert self._line() == "ready"

    def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def leave(self) -> None:
        self._process.communicate(timeout=PATIENCE_SECONDS)
        self._timer.cancel()
        self._timer.join()
        assert self._process.returncode == 0

    def _line(self) -> str:
        assert self._process.stdout is not None
        line: str = self._process.stdout.readline()
        return line.strip()


@contextmanager
def analyst_of(path: Path, user: int = 0) -> Iterator[Analyst]:
    analyst = Analyst(path, user)
    try:
        yield analyst
    finally:
        analyst.leave()


def generate(manager: SessionManager, media_type: str, fails: bool) -> str:
    """A whole generation; its id."""
    session_id = manager.create_session(GenerationRequest(story_text="A lamp.", media_type=media_type, num_scenes=2))
    manager.update_session_status(session_id, "processing")
    for number in (1, 2):
        manager.add_scene_to_session(session_id, scene(number))
    manager.update_session_status(session_id, "failed" if fails else "completed", "no paint" if fails else None)
    return session_id


@pytest.fixture
def busy(database: Path) -> Iterator[SessionManager]:
    manager = manager_on(database, durability="normal", summary_interval=None)
    yield manager
    assert manager.shutdown(timeout=PATIENCE_SECONDS)


def test_each_answer_is_whole_while_eight_threads_write_and_everything_written_is_there(
    busy: SessionManager, database: Path
) -> None:
    seen_enough, made = threading.Event(), [0] * WRITERS

    def write(number: int) -> None:
        media_type = ("cinematic", "cartoon", "realistic")[number % 3]
        while made[number] < GENERATIONS or not seen_enough.is_set():
            session_id = generate(busy, media_type, fails=number == 7)
            made[number] += 1
            if number == 0:
                sum_up(busy._store)
            if number == 1:
                busy.cleanup_failed_sessions()
            if number == 2:
                assert busy.remove_session(session_id)

    def look() -> Any:
        try:
            wait_until(lambda: all(made), "each writer's first generation")
            return analyst.ask(f"look {ROUNDS}")
        finally:
            seen_enough.set()

    with analyst_of(database) as analyst:
        *_, disagreements = all_at_once([*(lambda n=n: write(n) for n in range(WRITERS)), look])

    assert disagreements == []
    assert ask(database, "SELECT sum(created_count), sum(completed_count), sum(failed_count) FROM report_daily") == [
        (sum(made), sum(made[:7]), made[7])
    ]
    assert ask(database, "SELECT sum(session_count) FROM report_departures WHERE reason = 'removed'") == [(made[2],)]
    assert ask(database, "SELECT sum(scene_count) FROM report_sessions") == [(2 * sum(made),)]


def test_a_reader_that_holds_its_snapshot_for_long_sees_no_change_and_holds_up_no_writer(database: Path) -> None:
    # A write that had to wait for the reader would be refused after this.
    manager = manager_on(database, durability="normal", lock_timeout=1)
    try:
        generate(manager, "cartoon", fails=False)
        with analyst_of(database) as analyst:
            before = analyst.ask("begin")
            ids = [generate(manager, "cartoon", fails=number % 2 == 0) for number in range(20)]
            sum_up(manager._store)
            assert manager.cleanup_failed_sessions() == 10
            assert manager.remove_session(ids[1])
            during, after = analyst.ask("again"), analyst.ask("end")
        assert during == before
        assert (len(before["report_sessions"]), len(after["report_sessions"])) == (1, 21)
        assert manager.report("daily").rows[0][2] == 21
    finally:
        assert manager.shutdown(timeout=PATIENCE_SECONDS)


def test_a_snapshot_answers_every_report_from_a_folder_that_cannot_be_written(busy: SessionManager) -> None:
    for number in range(3):
        generate(busy, "cartoon", fails=number == 0)
    busy.cleanup_failed_sessions()
    # Not below tmp_path, which nobody else may enter. Permissions do not bind root, so the analyst is somebody else.
    folder = Path(tempfile.mkdtemp(prefix="sessionstore-snapshot-"))
    user = 65534 if os.geteuid() == 0 else 0
    try:
        path = folder / "out.db"
        busy.snapshot(path)
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        folder.chmod(0o555)

        with analyst_of(path, user) as analyst:
            may_write, found = analyst.ask("may-write"), analyst.ask("again")

        assert may_write is False
        assert os.listdir(folder) == ["out.db"]
        assert found.keys() == {f"report_{name}" for name in REPORTS}
        for name in REPORTS:
            expected = [[text_of(value) for value in row] for row in busy.report(name).rows]
            assert sorted(found[f"report_{name}"], key=repr) == sorted(expected, key=repr), name
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)
