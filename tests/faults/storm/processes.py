"""The processes of a storm: `python -m tests.faults.storm.processes NAME DATABASE ...`."""

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sessionstore import SessionManager, SessionManagerError
from sessionstore.persistence.engines.sqlite import checkpoints, writer
from tests.concurrency import request, scene
from tests.workers import Worker, say, wait_for_go

THREADS = 4
SCENES_A_SESSION = 50


class StormWorker(Worker):
    """A process of this module."""

    module = "tests.faults.storm.processes"
    patience_seconds = 3600


def name_of(number: int) -> str:
    return f"p{number}"


def report_of(database: Path, name: str) -> Path:
    """Where the process of that name says what it was promised."""
    return database.with_name(f"{name}.json")


def begin_deferred(driver: sqlite3.Connection, deadline: float, lock_timeout: float) -> None:
    """What a store does that knows no better: SQLite waits by itself, and a transaction begins by reading."""
    driver.execute(f"PRAGMA busy_timeout = {int(lock_timeout * 1000)}")
    driver.execute("BEGIN")


def write(database: Path, count: str, way: str) -> None:
    """So many processes whose threads write until told to stop; each process then writes down what it was promised.

    They are forked off before anything is opened: to start Python anew for each costs more than the storm.
    """
    if way == "deferred":
        for module in (writer, checkpoints):
            vars(module)["begin_immediate"] = begin_deferred
    until, stop = os.pipe()
    children = []
    for number in range(int(count)):
        child = os.fork()
        if child == 0:
            os.close(stop)
            _write_in_process(database, name_of(number), until)
            os._exit(0)
        children.append(child)
    wait_for_go()
    os.close(stop)
    for child in children:
        assert os.waitpid(child, 0) == (child, 0)


def _write_in_process(database: Path, name: str, until: int) -> None:
    manager = SessionManager(None, database_url=f"sqlite:///{database}", cleanup_interval=None)
    stop = threading.Event()
    writers = [_Writer(manager, f"{name}-{number}", stop) for number in range(THREADS)]
    for each in writers:
        each.start()
    say(f"ready {name}")
    os.read(until, 1)
    stop.set()
    for each in writers:
        each.join()
    manager.shutdown()
    errors = [error for each in writers for error in each.errors]
    report = {
        "acknowledged": sum(len(each.waits) for each in writers),
        "worst_wait": max(wait for each in writers for wait in each.waits),
        "errors": [len(errors), *sorted(set(errors))[:3]],
        "failed_after": max(each.failed_after for each in writers),
        "scenes": {session_id: numbers for each in writers for session_id, numbers in each.scenes.items()},
    }
    # Too long for a pipe that all of them report into at once.
    report_of(database, name).write_text(json.dumps(report), encoding="utf-8")


class _Writer(threading.Thread):
    """Makes sessions and fills them with scenes; notes how long each write took, and what was acknowledged."""

    def __init__(self, manager: SessionManager, name: str, stop: threading.Event) -> None:
        super().__init__()
        self.waits: list[float] = [0.0]
        self.failed_after = 0.0
        self.errors: list[str] = []
        self.scenes: dict[str, list[int]] = {}
        self._manager = manager
        self._stop_asked = stop
        self._label = name

    def run(self) -> None:
        life = 0
        while not self._stop_asked.is_set():
            life += 1
            session_id = f"{self._label}-{life}"
            if self._acknowledged(self._manager.create_session, request(), session_id=session_id):
                self._fill(session_id)

    def _fill(self, session_id: str) -> None:
        saved = self.scenes.setdefault(session_id, [])
        for number in range(SCENES_A_SESSION):
            if self._stop_asked.is_set():
                return
            if self._acknowledged(self._manager.add_scene_to_session, session_id, scene(number)):
                saved.append(number)

    def _acknowledged(self, call: Callable[..., object], *arguments: Any, **named: Any) -> bool:
        began = time.monotonic()
        try:
            call(*arguments, **named)
        except SessionManagerError as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            self.failed_after = max(self.failed_after, time.monotonic() - began)
            return False
        self.waits.append(time.monotonic() - began)
        return True


def intrude(database: Path, seconds: str) -> None:
    """A foreign program: each time it is told so, it takes the write lock and keeps it for so long."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as connection:
        say("ready")
        while sys.stdin.readline() == "go\n":
            _begin(connection)
            time.sleep(float(seconds))
            connection.execute("ROLLBACK")
            say("let go")


def _begin(connection: sqlite3.Connection) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            time.sleep(0.0005)


if __name__ == "__main__":
    _, command, path, *rest = sys.argv
    commands: dict[str, Callable[..., None]] = {"write": write, "intrude": intrude}
    commands[command](Path(path), *rest)
