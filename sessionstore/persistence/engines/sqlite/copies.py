"""Copies of a database in use: whole, durable, and never over something that is there."""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.persistence.engines.sqlite.file import sync_folder
from sessionstore.persistence.engines.sqlite.library import sqlite3


def back_up(source: sqlite3.Connection, target: Path) -> None:
    """An exact copy, page by page, from one snapshot. Writers go on meanwhile."""

    def copy(partial: Path) -> None:
        with closing(sqlite3.connect(partial, isolation_level=None)) as destination:
            source.backup(destination)

    _publish(copy, target)


def vacuum_into(source: sqlite3.Connection, target: Path) -> None:
    """A compact copy without a WAL, so that it can be read from a folder that cannot be written."""
    _publish(lambda partial: source.execute("VACUUM INTO ?", (str(partial),)), target)


def _publish(copy: Callable[[Path], object], target: Path) -> None:
    """Has `copy` write a file beside `target`, syncs it, and gives it the name only when it is whole."""
    target = target.expanduser().absolute()
    if os.path.lexists(target):
        raise _refused(target, "it is there already and is not overwritten; give another path")
    if not target.parent.is_dir():
        raise _refused(target, f"the folder {target.parent} does not exist; create it first")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        copy(partial)
        _sync_file(partial)
        # A link, not a rename: it fails when the name was taken in the meantime.
        os.link(partial, target)
        sync_folder(target.parent)
    except FileExistsError as error:
        raise _refused(target, "it is there already and is not overwritten; give another path") from error
    except OSError as error:
        raise _refused(target, f"it cannot be written ({error.strerror})") from error
    finally:
        for leftover in (partial, Path(f"{partial}-wal"), Path(f"{partial}-shm"), Path(f"{partial}-journal")):
            with suppress(FileNotFoundError):
                leftover.unlink()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(target: Path, why: str) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(f"{target}: {why}")
