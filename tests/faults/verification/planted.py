"""`python -m tests.faults.verification.planted`: the launcher, but the parts it forks lack a protection.

`PLANTED` in the environment says which, by name. A child changes the code only in itself.
"""

import fcntl
import os
import queue
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.operations import run
from sessionstore.persistence.engines.sqlite import connections, writer
from sessionstore.verification import launcher
from sessionstore.verification.parts import PARTS
from sessionstore.verification.scenarios import disk_full
from sessionstore.verification.stories import Story

VARIABLE = "PLANTED"
LATE_SECONDS = 0.05
BETWEEN_SECONDS = 1.0

take_step = Story.write


def early_acknowledgement() -> None:
    """What is acknowledged is written a little later, by another thread."""
    waiting: queue.Queue[Callable[[], None]] = queue.Queue()

    def write_late() -> None:
        while True:
            write = waiting.get()
            time.sleep(LATE_SECONDS)
            write()

    threading.Thread(target=write_late, daemon=True).start()

    def write(story: Story, manager: SessionManager, step: int) -> None:
        waiting.put(partial(take_step, story, manager, step))
        time.sleep(LATE_SECONDS / 2)

    Story.write = write  # type: ignore[method-assign, assignment]


def two_transactions() -> None:
    """What belongs together is committed one by one, with time to be killed in between."""

    def nothing(manager: SessionManager) -> Any:
        return nullcontext()

    add_scene = SessionManager.add_scene_to_session

    def add(manager: SessionManager, *arguments: Any) -> bool:
        is_added = add_scene(manager, *arguments)
        time.sleep(BETWEEN_SECONDS)
        return is_added

    SessionManager.transaction = nothing  # type: ignore[method-assign, assignment]
    SessionManager.add_scene_to_session = add  # type: ignore[method-assign, assignment]


def impatience() -> None:
    """Who does not get the right to write at once gives up."""
    begin = connections.begin_immediate
    vars(writer)["begin_immediate"] = lambda driver, deadline, lock_timeout: begin(driver, 0, lock_timeout)


def swallowed_errors() -> None:
    """A write that was refused looks as if it had succeeded."""

    def write(story: Story, manager: SessionManager, step: int) -> None:
        try:
            take_step(story, manager, step)
        except DatabaseUnavailableError:
            time.sleep(disk_full.RETRY_SECONDS)

    Story.write = write  # type: ignore[method-assign, assignment]


def no_recovery() -> None:
    """After its first error the store never works again."""
    errors: list[DatabaseUnavailableError] = []

    def write(story: Story, manager: SessionManager, step: int) -> None:
        if errors:
            raise errors[0]
        try:
            take_step(story, manager, step)
        except DatabaseUnavailableError as error:
            errors.append(error)
            raise

    vars(disk_full)["RECOVERY_SECONDS"] = 2
    Story.write = write  # type: ignore[method-assign, assignment]


def no_limit() -> None:
    """The system takes a limit, and does not keep to it."""
    resource.setrlimit = lambda *_: None


def no_fences() -> None:
    """A run writes whoever holds the session."""
    vars(run)["write_fenced"] = lambda engine, lease, work: engine.write(work)
    vars(run)["require_held"] = lambda unit, lease: None


def no_locks() -> None:
    """The file system says that it locks, and does not."""
    fcntl.lockf = lambda *_: None


PLANTS: dict[str, tuple[str, Callable[[], None]]] = {
    "early acknowledgement": ("write", early_acknowledgement),
    "two transactions": ("write", two_transactions),
    "impatience": ("write", impatience),
    "swallowed errors": ("fill_up", swallowed_errors),
    "no recovery": ("fill_up", no_recovery),
    "no limit": ("fill_up", no_limit),
    "no fences": ("hang", no_fences),
    "no locks": ("lock_file", no_locks),
}


def plant(part: Callable[..., None], remove_protection: Callable[[], None], *given: Any, **options: Any) -> None:
    remove_protection()
    part(*given, **options)


if __name__ == "__main__":
    for name in os.environ[VARIABLE].split(", "):
        part, remove_protection = PLANTS[name]
        PARTS[part] = partial(plant, PARTS[part], remove_protection)  # type: ignore[index]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    launcher.Launcher().run()
