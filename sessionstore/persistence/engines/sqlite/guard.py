"""Keeps SQLite's locks when somebody in this process opens and closes the database file.

POSIX drops all locks of a process on a file when any descriptor of it is closed. One `open(db).read(16)`, a
copy or a hash in this process is enough; then the next process that closes the database deletes the WAL under
us, and acknowledged writes are gone (45 of 60 in a test). Open-file-description locks are not dropped. So each
process holds such read locks where SQLite keeps its shared ones, as long as it has connections to the file.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Where SQLite keeps the shared lock of a database file, and the "somebody is here" lock of its -shm file.
_SHARED_RANGE = (0x40000002, 510)
_SHM_PRESENCE = (128, 1)

# Linux has them; elsewhere the guard protects nothing, and the rule never to open the file must be kept.
_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None)
IS_SUPPORTED = _SET_LOCK is not None


@dataclass(slots=True)
class _Held:
    """The locks of this process on one database, however many stores use it."""

    descriptors: list[tuple[int, tuple[int, int]]]
    holders: int = 0


_mutex = threading.RLock()
_held: dict[tuple[int, int], _Held] = {}


def _forget_in_child() -> None:
    # The child has none of the parent's locks, and must not close its descriptors' files before it needs to.
    global _mutex  # noqa: PLW0603 - another thread of the parent may have held it
    _mutex = threading.RLock()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class FileGuard:
    """One store's share of the process's locks on a database."""

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        """Takes the locks; the database must be in WAL mode and have an open connection."""
        self._identity = identity
        with _mutex:
            held = _held.get(identity)
            if held is None:
                held = _held[identity] = _Held(_lock_files(path))
            held.holders += 1

    @contextmanager
    def releasing(self) -> Iterator[None]:
        """Once, around closing a store's connections: the last store of the process lets go of the locks first.

        Only so can SQLite take the exclusive lock with which a last connection puts the WAL away. The
        descriptors are closed after the connections, for closing them drops SQLite's own locks.
        """
        with _mutex:
            held = _held[self._identity]
            held.holders -= 1
            if held.holders:
                yield
                return
            del _held[self._identity]
            for descriptor, span in held.descriptors:
                _set_lock(descriptor, fcntl.F_UNLCK, span)
            try:
                yield
            finally:
                _close(held.descriptors)


def _lock_files(path: Path) -> list[tuple[int, tuple[int, int]]]:
    if not IS_SUPPORTED:
        return []
    locked: list[tuple[int, tuple[int, int]]] = []
    try:
        for file, span in ((path, _SHARED_RANGE), (Path(f"{path}-shm"), _SHM_PRESENCE)):
            with suppress(FileNotFoundError):
                locked.append((os.open(file, os.O_RDONLY | os.O_CLOEXEC), span))
                _set_lock(locked[-1][0], fcntl.F_RDLCK, span)
    except BaseException:
        # That drops SQLite's own locks too; but the connections are closed next, unused.
        _close(locked)
        raise
    return locked


def _close(descriptors: list[tuple[int, tuple[int, int]]]) -> None:
    for descriptor, _ in descriptors:
        # It is closed all the same, and nothing was written to it.
        with suppress(OSError):
            os.close(descriptor)


def _set_lock(descriptor: int, kind: int, span: tuple[int, int]) -> None:
    start, length = span
    # struct flock: type, whence, start, length, pid; the kernel wants pid 0 for these locks.
    assert _SET_LOCK is not None
    fcntl.fcntl(descriptor, _SET_LOCK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
