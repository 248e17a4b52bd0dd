"""A process meets the limit of how large its files may be, as if the disk were full, and then has room again."""

import math
import random
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

from sessionstore.errors import DatabaseUnavailableError, SessionManagerError
from sessionstore.manager import SessionManager
from sessionstore.settings import Settings
from sessionstore.verification.acknowledgements import Acknowledgements
from sessionstore.verification.children import PATIENCE_SECONDS
from sessionstore.verification.ground import Ground, judge
from sessionstore.verification.reports import Reporter, described
from sessionstore.verification.verdicts import NotTriedError, Trial
from sessionstore.verification.writing import writers

PROMISE = (
    "When there is no room writes are refused with a typed error, reads go on, nothing acknowledged is lost, and the "
    "same manager works again as soon as there is room."
)

DATABASE = "full"
THREADS = 3
# Below this SQLite cannot even make its index of the log.
SMALLEST_LIMIT_BYTES = 64 * 1024
MAX_ROOM_BYTES = 64 * 1024
MAX_PLENTY_SECONDS = 0.2
RETRY_SECONDS = 0.005
# Until a limit is met by what is written, and until writes go on when it is gone.
FEEL_SECONDS = 5.0
RECOVERY_SECONDS = 8.0
# At the end, for what was refused just before there was room.
END_SECONDS = 2.0
READS = 50


def try_it(ground: Ground, trial: Trial) -> None:
    """One process for all the time: full and not full in turn."""
    noted = _Noted()
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        trial.notes.append("Files have a limit of their own here already (ulimit -f).")
    options = {"settings": ground.options(DATABASE), "folder": str(ground.scratch.folder)}
    child = ground.children.start("fill_up", listener=noted.note, feel_seconds=FEEL_SECONDS, **options)
    noted.acknowledged.expect(child.name, THREADS)
    ground.wait_for_writes(noted.acknowledged, [child])
    at_latest = ground.writing_end + PATIENCE_SECONDS
    while time.monotonic() < (ground.writing_end if noted.limits else at_latest) and not child.has_ended:
        if not ground.wait(time.monotonic() + MAX_PLENTY_SECONDS):
            break
        trial.extent = f"{noted.fillings} times full, {len(noted.acknowledged):,} writes"
        ground.say(trial.extent)
    child.send(signal.SIGTERM)
    child.wait_for("ended", seconds=PATIENCE_SECONDS)
    _judge(ground, trial, noted)
    if not noted.fillings and not trial.failures:
        raise NotTriedError("no write met the limit on the size of files (RLIMIT_FSIZE)")


def _judge(ground: Ground, trial: Trial, noted: "_Noted") -> None:
    trial.extent = f"{noted.fillings} times full, {len(noted.acknowledged):,} writes"
    trial.figures |= {"refused_writes": noted.refused, "reads_while_full": noted.reads} | noted.acknowledged.figures()
    if noted.refusal:
        trial.notes.append(f"Writes were refused with {noted.refusal.replace(f'{ground.scratch.folder}/', '')}")
    trial.fail(*noted.acknowledged.errors)
    with ground.opened(DATABASE) as manager:
        judge(trial, manager, noted.acknowledged.compare_all(manager))


class _Noted:
    """What the process reported: writes, and how it went while it was full."""

    def __init__(self) -> None:
        self.acknowledged = Acknowledgements()
        self.limits = self.fillings = self.reads = self.refused = 0
        self.refusal = ""

    def note(self, kind: str, *facts: Any) -> None:
        if kind == "limited":
            self.limits += 1
        elif kind == "full":
            self.fillings += 1
            self.reads += facts[0]
        elif kind == "refused":
            self.refused += 1
            self.refusal = self.refusal or facts[0]
        else:
            self.acknowledged.note(kind, *facts)


# In the child


class _Remembering(Reporter):
    """Reports, and remembers what was saved and how often something was refused; `gives_up_at` in monotonic seconds."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.saved: list[str] = []
        self.refused = 0
        self.gives_up_at = math.inf

    def __call__(self, kind: str, *facts: object) -> None:
        if kind == "saved":
            self.saved.append(str(facts[0]))
        super().__call__(kind, *facts)

    def retry(self, error: SessionManagerError) -> bool:
        """What is refused for want of room is repeated until there is some; anything else should not have been."""
        if not isinstance(error, DatabaseUnavailableError) or time.monotonic() > self.gives_up_at:
            return False
        self.refused += 1
        self("refused", described(error))
        time.sleep(RETRY_SECONDS)
        return True


def fill_up(report: Reporter, *, settings: dict[str, Any], folder: str, feel_seconds: float) -> None:
    """Writes stories, with room and without in turn, until SIGTERM."""
    # Two, for writers must not stop while it is waited for them to go on.
    is_over, stop, remembering = threading.Event(), threading.Event(), _Remembering(report.name)
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    with SessionManager(settings=Settings(**settings)) as manager:
        pool = writers(remembering, manager, THREADS, stop, remembering.retry)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            while not is_over.wait(random.uniform(0, MAX_PLENTY_SECONDS)) and any(each.is_alive() for each in pool):
                resource.setrlimit(resource.RLIMIT_FSIZE, (_limit(Path(folder)), hard))
                if _is_felt(remembering, feel_seconds):
                    _read(remembering, manager)
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                _require_writes(remembering)
                remembering("limited")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            remembering.gives_up_at = time.monotonic() + END_SECONDS
            stop.set()
        for thread in pool:
            thread.join()


def _limit(folder: Path) -> int:
    """Anywhere up to a little above the largest file: it meets the log, the database, or both."""
    largest = max(file.stat().st_size for file in folder.iterdir())
    return random.randint(SMALLEST_LIMIT_BYTES, max(largest, SMALLEST_LIMIT_BYTES) + MAX_ROOM_BYTES)


def _is_felt(remembering: _Remembering, seconds: float) -> bool:
    before, end = remembering.refused, time.monotonic() + seconds
    while remembering.refused == before and time.monotonic() < end:
        time.sleep(RETRY_SECONDS)
    return remembering.refused > before


def _read(remembering: _Remembering, manager: SessionManager) -> None:
    sessions = random.sample(remembering.saved, min(READS, len(remembering.saved)))
    for session_id in sessions:
        try:
            is_there = manager.get_session(session_id) is not None
        except SessionManagerError as error:
            remembering("failed", f"a read while the disk was full: {described(error)}")
        else:
            if not is_there:
                remembering("failed", f"session {session_id} was not to be found while the disk was full")
    remembering("full", len(sessions))


def _require_writes(remembering: _Remembering) -> None:
    before, end = len(remembering.saved), time.monotonic() + RECOVERY_SECONDS
    while len(remembering.saved) == before:
        if time.monotonic() > end:
            remembering("failed", f"no write came through within {RECOVERY_SECONDS:g} s after there was room again")
            return
        time.sleep(RETRY_SECONDS)
