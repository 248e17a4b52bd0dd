"""Copies of a store that is in use."""

from pathlib import Path

from sessionstore.operations.store import Store
from sessionstore.persistence.engines.base import Progress


def back_up(store: Store, path: object, progress: Progress | None) -> None:
    """An exact copy."""
    store.engine.backup(_checked_path(path), _checked_progress(progress))


def snapshot(store: Store, path: object) -> None:
    """A compact copy, for tools."""
    store.engine.snapshot(_checked_path(path))


def _checked_path(path: object) -> Path:
    if not isinstance(path, str | Path):
        raise TypeError(f"path must be text or a Path, not {type(path).__name__}")
    if "\0" in str(path):
        raise ValueError("path must not hold NUL characters")
    return Path(path)


def _checked_progress(progress: Progress | None) -> Progress | None:
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, not {type(progress).__name__}")
    return progress
