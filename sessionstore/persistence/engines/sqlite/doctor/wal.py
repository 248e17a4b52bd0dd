"""How large the WAL is, who has the database open, and who reads from so old a state that it cannot start over.

Linux lists all file locks; SQLite's are bytes of the -shm file. Nothing is opened here but /proc.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.connections import JOURNAL_SIZE_LIMIT_BYTES

LOCKS = Path("/proc/locks")
# Bytes of the -shm file: a lock of one of these is a reader's, the other one everybody's who has the database open.
READERS, PRESENCE = range(123, 128), 128
# Between checkpoints it grows to 8 MiB or what one transaction writes; beyond this, it does not start over.
LARGE_WAL_BYTES = 4 * JOURNAL_SIZE_LIMIT_BYTES
# A read of the store takes milliseconds. Who holds a lock at both looks holds the WAL up.
BETWEEN_LOOKS_SECONDS = 0.5
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a lock."""

    pid: int

    def __str__(self) -> str:
        if self.pid == os.getpid():
            return "this process"
        return f"{self.pid} ({name_of(self.pid)})"


def size(path: Path) -> Iterator[Finding]:
    wal_bytes = Path(f"{path}-wal").stat().st_size
    present = holders(path, range(PRESENCE, PRESENCE + 1))
    message = f"the WAL has {wal_bytes / MEGABYTE:.1f} MB; open in {_listed(present)}"
    if wal_bytes <= LARGE_WAL_BYTES:
        yield Finding(check="wal", severity="ok", message=message)
        return
    readers = holders(path, READERS)
    time.sleep(BETWEEN_LOOKS_SECONDS)
    readers &= holders(path, READERS)
    if readers:
        message += f"; it cannot start over while an old state is read by {_listed(readers)}"
        remedy = "end that read or that process; the file shrinks with the next writes"
    else:
        remedy = "`sessionstore check --repair` moves it into the database"
    yield Finding(check="wal", severity="warning", message=message, remedy=remedy)


def holders(path: Path, bytes_locked: range) -> set[Holder]:
    """The processes with a lock on any of these bytes of the -shm file, as far as this system tells."""
    try:
        status, lines = os.stat(f"{path}-shm"), LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    locks = [_parts(line) for line in lines]
    return {
        Holder(pid)
        for pid, place, first, last in locks
        if pid > 0 and place == device and first <= bytes_locked[-1] and last >= bytes_locked[0]
    }


def _parts(line: str) -> tuple[int, str, int, int]:
    """Of `1: POSIX ADVISORY READ 17987 fe:00:2523600 123 123` the process, the file and the first and last byte."""
    *_, pid, place, first, last = line.split()
    # A whole file is locked up to EOF. No process has the locks of an open file: -1.
    return int(pid), place, int(first), int(last) if last != "EOF" else 2**63


def name_of(pid: int) -> str:
    """The program's name; never its arguments, which may hold secrets."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "gone"


def _listed(found: set[Holder]) -> str:
    return ", ".join(str(each) for each in sorted(found, key=lambda each: each.pid)) or "processes that are not told"
