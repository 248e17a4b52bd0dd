"""Where the files are: on what kind of file system, who may read them, and how much room there is.

Nothing here opens a file of the database: to close it again would drop this process's locks on it.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.checkpoints import WAL_GROWTH_BYTES
from sessionstore.persistence.engines.sqlite.connections import JOURNAL_SIZE_LIMIT_BYTES
from sessionstore.persistence.engines.sqlite.mounts import MOUNTS, file_system_of, is_of_several_machines, is_shared

logger = logging.getLogger(__name__)

OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO
MEGABYTE = 1024 * 1024
# Below the first, look after it; below the second, there is not even room for the WAL between two checkpoints.
LITTLE_ROOM_BYTES, NO_ROOM_BYTES = 64 * MEGABYTE, 2 * WAL_GROWTH_BYTES


def warn_of_shared(path: Path) -> None:
    """A line in the log when the file is where locks may not work.

    It is no reason to refuse: one machine alone is safe on many of these, and Linux does not tell how many there are.
    """
    for finding in file_system(path):
        if finding.severity != "ok":
            logger.warning("%s: %s; %s", path, finding.message, finding.remedy)


def file_system(path: Path) -> Iterator[Finding]:
    kind = _kind_of(path)
    if kind is None:
        yield Finding(check="file_system", severity="ok", message="this system does not say what kind it is")
    elif is_shared(kind):
        yield shared_finding(kind)
    else:
        yield Finding(check="file_system", severity="ok", message=f"the file is on {kind}")


def _kind_of(path: Path) -> str | None:
    try:
        return file_system_of(path, MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return None


def shared_finding(kind: str) -> Finding:
    """What it means to be on a file system whose locks or shared memory may not work."""
    if is_of_several_machines(kind):
        return Finding(
            check="file_system",
            severity="error",
            message=f"the file is on {kind}, a network file system: locks may not hold and two machines do not share "
            "memory, so that acknowledged writes can be lost",
            remedy="move the database to a local disk: `sessionstore backup`, then `sessionstore restore`",
        )
    return Finding(
        check="file_system",
        severity="warning",
        message=f"the file is on {kind}, which a virtual machine or a program provides: locks and shared memory may "
        "not reach whoever else has it open, and a sync may not reach the disk",
        remedy="let the processes of one side only open it, or move the database to a local disk",
    )


def file_mode(path: Path) -> Iterator[Finding]:
    """Stories are private: whether anybody but the owner gets at them."""
    problems = [*_modes(path), *_owners(path), *_folder(path.parent)]
    if problems:
        yield from problems
    else:
        yield Finding(check="file_mode", severity="ok", message="only the owner may read and write the files")


def _modes(path: Path) -> Iterator[Finding]:
    too_open = open_to_others(path)
    if too_open:
        named = ", ".join(f"{each.name} ({mode:04o})" for each, mode in too_open.items())
        yield Finding(
            check="file_mode",
            severity="warning",
            message=f"others than the owner may get at {named}",
            remedy=f"chmod 600 {' '.join(str(each) for each in too_open)}, or `sessionstore check --repair`",
        )


def _owners(path: Path) -> Iterator[Finding]:
    owner = path.stat().st_uid
    if owner != os.geteuid():
        yield Finding(
            check="file_mode",
            severity="warning",
            message=f"the file belongs to user {owner}, this process runs as user {os.geteuid()}: files that it makes "
            "beside it may be closed to the owner",
            remedy="run everything that uses the store as one user, who owns the file",
        )


def _folder(folder: Path) -> Iterator[Finding]:
    if folder.stat().st_mode & stat.S_IWOTH:
        yield Finding(
            check="file_mode",
            severity="warning",
            message=f"everybody may write in the folder {folder}, and put a file there that SQLite takes for a journal",
            remedy=f"move the database to a folder of its own, or chmod o-w {folder}",
        )


def open_to_others(path: Path) -> dict[Path, int]:
    """Those of the database's files that not only their owner may use, and their modes."""
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in files_of(path)}
    return {each: mode for each, mode in modes.items() if mode & OTHERS_MAY}


def files_of(path: Path) -> list[Path]:
    """The database and what SQLite keeps beside it, as far as it is there."""
    return [each for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if each.exists()]


def disk_space(path: Path) -> Iterator[Finding]:
    room, wal = os.statvfs(path.parent), Path(f"{path}-wal")
    # A checkpoint may let the database grow by all that is in the WAL.
    checkpoint_bytes = wal.stat().st_size if wal.exists() else 0
    yield _room(room.f_bavail * room.f_frsize, checkpoint_bytes)


def _room(free_bytes: int, checkpoint_bytes: int) -> Finding:
    message = f"{free_bytes / MEGABYTE:,.0f} MB are free"
    if free_bytes < max(NO_ROOM_BYTES, checkpoint_bytes):
        severity = "error"
    elif free_bytes < max(LITTLE_ROOM_BYTES, 2 * JOURNAL_SIZE_LIMIT_BYTES, 2 * checkpoint_bytes):
        severity = "warning"
    else:
        return Finding(check="disk_space", severity="ok", message=message)
    return Finding.model_validate(
        {
            "check": "disk_space",
            "severity": severity,
            "message": f"only {message}: writes will be refused, nothing that was acknowledged is lost",
            "remedy": "make room on the disk, or `sessionstore cleanup`, which lets the file use its own space again",
        }
    )
