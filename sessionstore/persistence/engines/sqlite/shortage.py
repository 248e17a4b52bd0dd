"""What the system has run out of. SQLite only says that it could not open, read or write something.

Each phrase names the shortage and what to do about it.
"""

import errno
import os
import resource
from contextlib import suppress
from pathlib import Path

# What SQLite adds to the -shm file at a time, and the least that it needs to go on.
LEAST_FREE_BYTES = 32 * 1024
# The database, -wal, -shm and -journal, and the folder for syncing.
FILES_OF_A_CONNECTION = 5

FULL = "the disk is full; make room on it, or remove sessions, and try again"
NO_MORE_FILES = "the disk takes no more files (its inodes are used up); remove some there and try again"
QUOTA = "the quota of the disk is used up; make room within it, or have it raised, and try again"
FILE_TOO_LARGE = (
    "it has reached the size that the system allows for a file; raise that (ulimit -f) or remove sessions, and try "
    "again"
)
NO_MEMORY = "there is no memory left; end something else on this machine and try again"
TOO_MANY_OPEN = (
    "too many files are open in this process or on this machine; raise the limit (ulimit -n), or look for what "
    "leaves files open, and try again"
)

_BY_ERRNO = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: QUOTA,
    errno.EFBIG: FILE_TOO_LARGE,
    errno.EMFILE: TOO_MANY_OPEN,
    errno.ENFILE: TOO_MANY_OPEN,
    errno.ENOMEM: NO_MEMORY,
}


def shortage_of(error: OSError) -> str | None:
    """What this error of the system itself says that there is none left of; None for any other error."""
    return _BY_ERRNO.get(error.errno or 0)


def current_shortage(database: str) -> str | None:
    """What there is none left of now, for that file and those beside it; None when nothing can be seen."""
    with suppress(OSError):
        disk = os.statvfs(Path(database).parent)
        if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES:
            return FULL
        if disk.f_files and not disk.f_favail:
            return NO_MORE_FILES
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and any(_size(f"{database}{suffix}") >= limit for suffix in ("", "-wal")):
        return FILE_TOO_LARGE
    return _shortage_of_descriptors()


def _shortage_of_descriptors() -> str | None:
    # Those that SQLite had opened before it could open no more are closed again by now.
    opened: list[int] = []
    try:
        while len(opened) < FILES_OF_A_CONNECTION:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return shortage_of(error)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
