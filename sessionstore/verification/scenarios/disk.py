"""The disk itself: whether locks and shared memory work between processes, and how long a sync takes."""

import fcntl
import mmap
import os
import signal
import sys
import time
from pathlib import Path

from sessionstore.verification.acknowledgements import at_share
from sessionstore.verification.file_system import MEMORY, SHARED, file_system
from sessionstore.verification.ground import Ground
from sessionstore.verification.reports import Reporter
from sessionstore.verification.verdicts import Trial

PROMISE = (
    "A lock that one process holds keeps others out and goes with its process; memory mapped from a file is shared."
)

MIN_SYNCS, MAX_SYNCS = 20, 200
PAGE = b"p" * 4096
MARK = b"m"
# No flash memory is written so fast; a controller with a cache of its own may answer in this time.
SUSPICIOUS_SYNC_MS = 0.1


def try_it(ground: Ground, trial: Trial) -> None:
    """The locks first, then syncs for the rest of the time."""
    file = ground.scratch.folder / "locked"
    file.write_bytes(PAGE)
    child = ground.children.start("lock_file", file=str(file))
    child.wait_for("holds")
    with file.open("r+b") as mine:
        if _locks(mine.fileno()):
            trial.fail("a lock that another process holds was given to this one as well")
        with mmap.mmap(mine.fileno(), len(PAGE)) as memory:
            if memory[:1] != MARK:
                trial.fail("what another process wrote into memory mapped from a file is not seen here")
        child.kill()
        if not _locks(mine.fileno()):
            trial.fail("a lock is still held after its process was killed")
    times = _sync_us(ground)
    median_ms = at_share(times, 0.5) / 1000
    kind = file_system(ground.scratch.folder)
    trial.extent = f"2 processes, {len(times)} syncs"
    trial.figures |= {"file_system": kind, "p50_sync_ms": median_ms, "worst_sync_ms": times[-1] / 1000}
    trial.notes += _notes(kind, median_ms)


def _locks(descriptor: int) -> bool:
    """Whether this process gets the lock, which it then gives back."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    return True


def _sync_us(ground: Ground) -> list[int]:
    """How long each append and sync took, ascending."""
    # macOS has no fdatasync.
    sync = getattr(os, "fdatasync", os.fsync)
    times: list[int] = []
    with (ground.scratch.folder / "synced").open("wb", buffering=0) as file:
        while len(times) < MIN_SYNCS or (len(times) < MAX_SYNCS and time.monotonic() < ground.end):
            begun = time.perf_counter_ns()
            file.write(PAGE)
            sync(file.fileno())
            times.append((time.perf_counter_ns() - begun) // 1000)
    return sorted(times)


def _notes(kind: str, median_ms: float) -> list[str]:
    notes = ["A power cut cannot be tried from here."]
    name = kind.partition(" ")[0]
    if name in MEMORY:
        notes.append(f"This is memory ({name}): nothing on it outlives the power.")
    elif median_ms < SUSPICIOUS_SYNC_MS:
        notes.append(
            f"A sync takes {median_ms:.2g} ms: this disk answers from a cache. If that cache has no power of its own, "
            "a power cut takes what was acknowledged last."
        )
    if name in SHARED:
        notes.append(f"{name} is shared between machines or with a host, which the store is not meant for.")
    if sys.platform == "darwin":
        notes.append("On macOS a sync hands over to the drive and does not wait until it has written.")
    return notes


# In the child


def lock_file(report: Reporter, *, file: str) -> None:
    """Holds a lock on the file and marks its first byte, until it is killed."""
    with Path(file).open("r+b") as mine:
        fcntl.lockf(mine.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        with mmap.mmap(mine.fileno(), len(PAGE)) as memory:
            memory[:1] = MARK
            report("holds")
            signal.pause()
