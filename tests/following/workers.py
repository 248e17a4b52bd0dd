"""Processes that write and that watch: `python -m tests.following.workers NAME DATABASE ...`."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from sessionstore import SessionManager
from tests.concurrency import manager_on, request, scene
from tests.workers import PATIENCE_SECONDS, Worker, in_child, say, wait_for_go

WATCHED = "watched"


class FollowingWorker(Worker):
    """A process of `module`."""

    module = "tests.following.workers"

    def is_running(self) -> bool:
        return self._process.poll() is None


def write(database: Path, first: str, count: str, status: str) -> None:
    """Saves scenes of the watched session, a tick after each, beside changes of others; then sets a status."""
    with manager_on(database, lock_timeout=30) as manager:
        say("ready")
        wait_for_go()
        beside = manager.create_session(request())
        for number in range(int(first), int(first) + int(count)):
            manager.add_scene_to_session(WATCHED, scene(number))
            manager.update_session_progress(WATCHED, number, 10_000, f"scene {number}")
            manager.add_scene_to_session(beside, scene(number))
        if status != "none":
            manager.update_session_status(WATCHED, status)


def write_for_ever(database: Path, first: str) -> None:
    """Saves scene after scene of the watched session until it is killed, two in each transaction."""
    manager, number = manager_on(database), int(first)
    say("ready")
    while True:
        with manager.transaction():
            manager.add_scene_to_session(WATCHED, scene(number))
            manager.update_session_progress(WATCHED, 1, 2, f"scene {number}")
            manager.add_scene_to_session(WATCHED, scene(number + 1))
        number += 2


def watch(database: Path, after: str) -> None:
    """Reports each item, beginning behind `after`, or with the state when that is none."""
    manager: SessionManager = manager_on(database)
    for change in manager.watch(WATCHED, after=None if after == "none" else after):
        say(f"{change.cursor} {change.event_type} {change.status} {change.scene_number}")
    say("end")
    manager.shutdown()


def hear(database: Path) -> None:
    """Reports what callbacks of every process are told, until a session is removed."""
    removed = threading.Event()
    with manager_on(database) as manager:
        for event_type in ("created", "scene_added", "progress", "completed"):
            manager.register_session_callback(
                event_type,
                lambda session_id, _, name=event_type: say(f"{name} {session_id}"),
                every_process=True,
            )
        manager.register_session_callback("removed", lambda *_: removed.set(), every_process=True)
        say("ready")
        removed.wait(PATIENCE_SECONDS)
    say("end")


def fork(database: Path) -> None:
    """A child goes on with a watch of its parent, then the parent does."""
    manager = manager_on(database)
    watched = manager.watch(WATCHED)
    next(watched)
    in_child(lambda: next(watched))
    manager.add_scene_to_session(WATCHED, scene(1))
    say(f"parent: {next(watched).event_type}")
    manager.shutdown()


if __name__ == "__main__":
    _, command, path, *rest = sys.argv
    commands: dict[str, Callable[..., None]] = {
        "write": write,
        "write_for_ever": write_for_ever,
        "watch": watch,
        "hear": hear,
        "fork": fork,
    }
    commands[command](Path(path), *rest)
