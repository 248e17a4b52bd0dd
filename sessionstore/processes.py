"""Which process somebody is, so that another one on the same machine can tell that it is dead."""

import os
from pathlib import Path

# Where Linux tells one start of the machine, one space of process numbers and one process from another.
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NUMBER_SPACE = Path("/proc/self/ns/pid")
# In /proc/PID/stat, after the name in parentheses: the state, and the start in ticks since the machine's.
STATE_FIELD, START_FIELD = 0, 19
# No system counts its processes beyond 32 bits.
MAX_DIGITS = 10
# A zombie is dead already: only its parent has not asked for it.
DEAD_STATES = {"Z", "X"}

_known: tuple[int, str | None] = (0, None)


def this_process() -> str | None:
    """Who this process is, as text that no other process ever has; None where the system does not tell."""
    global _known  # noqa: PLW0603 - replaced as a whole; asked anew in a forked child
    pid = os.getpid()
    if _known[0] != pid:
        place, start = _place(), _start_of(pid)
        _known = pid, f"{place}/{pid}/{start}" if place and start else None
    return _known[1]


def is_dead(process: str | None) -> bool:
    """Whether that process certainly runs no more; False when it runs, or nothing can be said from here.

    Nothing can be said of another machine, or of another container with process numbers of its own.
    """
    place, pid, start = _parts(process)
    if place is None or place != _place():
        return False
    if not is_running(pid):
        return True
    found = _start_of(pid)
    return found is not None and found != start


def is_running(pid: int) -> bool:
    """Whether there is a process of that number here, or one that is dead but not asked for yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        pass  # A number that no system has says nothing; somebody else's process is there.
    return True


def _place() -> str | None:
    """This start of this machine, as one space of process numbers sees it."""
    try:
        return f"{BOOT_ID.read_text(encoding='ascii').strip()}/{NUMBER_SPACE.readlink().name}"
    except OSError:
        return None


def _start_of(pid: int) -> str | None:
    """When the process with that number was started; "dead" of a zombie, None when it cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if fields[STATE_FIELD] in DEAD_STATES else fields[START_FIELD]


def _parts(process: str | None) -> tuple[str | None, int, str]:
    """The place, the number and the start; the place is None when the text is none of `this_process`."""
    *place, pid, start = ["", "", *(process or "").split("/")]
    if not (pid.isdecimal() and start.isdecimal() and len(pid) <= MAX_DIGITS):
        return None, 0, ""
    return "/".join(place[2:]), int(pid), start
