"""Copies of a store that is in use, and a store from such a copy."""

import os
from pathlib import Path
from typing import Any

from sessionstore.exact import exact_text
from sessionstore.operations.store import Store
from sessionstore.persistence.engines import restore_database
from sessionstore.persistence.engines.base import Progress
from sessionstore.settings import load_settings

# What the system takes. A name in it has a limit of its own, which the system tells.
MAX_PATH_BYTES = 4096


def back_up(store: Store, path: object, progress: Progress | None) -> None:
    """An exact copy."""
    store.engine.backup(_checked_path(path), _checked_progress(progress))


def snapshot(store: Store, path: object) -> None:
    """A compact copy, for tools."""
    store.engine.snapshot(_checked_path(path))


def restore(backup: str | Path, database_url: str | None = None, *, progress: Progress | None = None) -> None:
    """Makes a store of a backup, where there is none yet. The backup stays as it is.

    `database_url` defaults to the settings'. Before the store gets its name it was copied whole, examined and synced:
    every page, every row's session and checksum, and the schema, which may be an older one that the next opening
    migrates; rows of that have no checksums that could be looked at. After any failure there is nothing. `progress` is
    called with the bytes that are copied and those there are; what it raises ends the restoring.

    Raises:
        DatabaseUnavailableError: when the backup is damaged or is none, or something is there already: a store, or
            the WAL of one that is gone, which SQLite would play into this one.
        SchemaError: when a newer version of the code made the backup.
    """
    given: dict[str, Any] = {} if database_url is None else {"database_url": database_url}
    restore_database(_checked_path(backup), load_settings(**given), _checked_progress(progress))


def _checked_path(path: object) -> Path:
    text = exact_text(str(path) if isinstance(path, Path) else path, "path")
    if "\0" in text:
        raise ValueError("path must not hold NUL characters")
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError:
        raise ValueError("path holds a lone surrogate, which is no valid text") from None
    if size > MAX_PATH_BYTES:
        raise ValueError(f"path has {size:,} bytes; the limit is {MAX_PATH_BYTES:,}")
    return Path(text)


def _checked_progress(progress: Progress | None) -> Progress | None:
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, not {type(progress).__name__}")
    return progress
