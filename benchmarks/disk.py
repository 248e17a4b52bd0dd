"""What is known of the disk: its file system, how long it takes to sync, and what lies on it."""

import os
import time
from pathlib import Path

# 40: a probe of 10 ms on a fast disk, of a third of a second on a slow one.
PROBE_SYNCS = 40
PROBE_BYTES = 4096

# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


def fdatasync_us(folder: Path) -> float:
    """The median, in microseconds, of appending a page to a file in `folder` and syncing it, as each commit does."""
    path = folder / "probe"
    page = b"p" * PROBE_BYTES
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        times = sorted(_timed_sync(file, page) for _ in range(PROBE_SYNCS))
    finally:
        os.close(file)
        path.unlink()
    return times[len(times) // 2] / 1000


def _timed_sync(file: int, page: bytes) -> int:
    os.write(file, page)
    start = time.perf_counter_ns()
    _sync(file)
    return time.perf_counter_ns() - start


def bytes_in(folder: Path) -> int:
    """All that lies in `folder`, its subfolders too."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def file_system(folder: Path) -> str:
    """The file system and device under `folder`, for example "ext4 on /dev/sda1"."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "an unknown file system"
    best, found = -1, "an unknown file system"
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        # Of nested mounts the innermost counts, and of several at one point the last.
        if folder.resolve().is_relative_to(point) and len(point.parts) >= best:
            kind, device, *_ = after.split()
            best, found = len(point.parts), f"{kind} on {device}"
    return found
