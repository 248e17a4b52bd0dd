"""What the children do until they are killed; they say what they were told, such as `1-7 3`: step 3 of session 1-7."""

import threading
import time
from itertools import count
from pathlib import Path

from sessionstore import SessionManager
from tests.concurrency import manager_on
from tests.faults.injection.zygote import Say
from tests.faults.steps import Step, take

# What a life ends with.
CLOSED = "closed"


def live(say: Say, database: str, backup: str) -> None:
    """Everything once: opens (making or migrating the store), writes, cleans up, backs up, and closes."""
    manager = manager_on(Path(database))
    for session_id in ("1-1", "1-2"):
        for step in (Step.CREATED, Step.PROGRESSED, Step.ONE_SCENE, Step.THREE_SCENES):
            take(manager, session_id, step)
            say(f"{session_id} {step}")
    take(manager, "1-1", Step.COMPLETED)
    say(f"1-1 {Step.COMPLETED}")
    # Completed for longer than no time at all: a clock in milliseconds must have moved.
    time.sleep(0.002)
    assert manager.cleanup_completed_sessions(max_age_hours=0) == 1
    say(f"1-1 {Step.GONE}")
    manager.backup(backup)
    say(f"copied {Path(backup).name}")
    assert manager.shutdown()
    say(CLOSED)


def write(say: Say, database: str, writer: str, is_hasty: bool) -> None:
    """Opens and writes for ever, on two threads. A hasty one says what it was told before it was."""
    manager = manager_on(Path(database), lock_timeout=30)

    def go_on(thread: int) -> None:
        for number in count(1):
            _take_all(say, manager, f"{writer}{thread}-{number}", is_hasty=is_hasty)

    threading.Thread(target=go_on, args=(2,), daemon=True).start()
    go_on(1)


def _take_all(say: Say, manager: SessionManager, session_id: str, *, is_hasty: bool) -> None:
    for step in list(Step)[1:]:
        if is_hasty:
            say(f"{session_id} {step}")
        take(manager, session_id, step)
        if not is_hasty:
            say(f"{session_id} {step}")
