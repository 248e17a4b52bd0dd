"""A new file gets its name only when it is whole and on disk, and never that of something that is there."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.persistence.engines.sqlite.errors import translated, translated_system_error
from sessionstore.persistence.engines.sqlite.file import sync_folder
from sessionstore.persistence.engines.sqlite.library import sqlite3

# The name under which a copy is written, with the number of the process that does.
PARTIAL = re.compile(r"\..+\.(\d+)\.partial")
# What SQLite may keep beside a file.
BESIDE = ("-wal", "-shm", "-journal")
# Of a path in a message: its end, which is what was given.
MAX_SHOWN_CHARACTERS = 300


def publish(write: Callable[[Path], object], target: Path) -> None:
    """Has `write` fill an empty file beside `target`, syncs it, and gives it the name.

    Raises:
        DatabaseUnavailableError: when something has that name, or the file cannot be made.
    """
    try:
        target = target.expanduser().absolute()
    except RuntimeError as error:
        raise refused(target, "there is no such user; give a path without ~") from error
    if os.path.lexists(target):
        raise _taken(target)
    if not os.path.isdir(target.parent):
        raise refused(target, "its folder does not exist; create it first")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with _translating(target):
        # Outside the block that removes it: what is there is another thread's, which copies to the same name.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        try:
            write(partial)
        except sqlite3.Error as error:
            # It may be the store that cannot be read; but it is the copy that needs room.
            raise translated(error, str(target)) from error
        with _translating(target):
            _sync_file(partial)
            # A link, not a rename: it fails when the name was taken in the meantime.
            os.link(partial, target)
            _sync_name(target)
    finally:
        for leftover in (partial, *(Path(f"{partial}{ending}") for ending in BESIDE)):
            # What cannot be removed stays: why the copy failed is what has to be told.
            with suppress(OSError):
                leftover.unlink()


@contextmanager
def _translating(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise translated_system_error(error, str(target)) from error


def _taken(target: Path) -> DatabaseUnavailableError:
    return refused(target, "it is there already and is not overwritten; give another path")


def refused(target: Path, why: str) -> DatabaseUnavailableError:
    shown = str(target) if str(target).isprintable() else ascii(str(target))
    if len(shown) > MAX_SHOWN_CHARACTERS:
        shown = f"...{shown[-MAX_SHOWN_CHARACTERS:]}"
    return DatabaseUnavailableError(f"{shown}: {why}")


def _sync_name(target: Path) -> None:
    """Puts the name on disk; takes it away again when that fails, so that the copy can be asked for once more."""
    try:
        sync_folder(target.parent)
    except OSError:
        target.unlink()
        raise


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
