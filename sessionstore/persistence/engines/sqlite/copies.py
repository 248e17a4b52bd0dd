"""Copies of a database in use: whole, durable, and never over something that is there."""

from contextlib import closing
from functools import partial
from pathlib import Path

from sessionstore.persistence.engines.base import Progress
from sessionstore.persistence.engines.sqlite.connections import pragma
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.engines.sqlite.publishing import publish

# Copied between two looks at who wants to hear of it, or to interrupt: 4 MiB take some milliseconds.
STEP_PAGES = 1024


def back_up(source: sqlite3.Connection, target: Path, progress: Progress | None) -> None:
    """An exact copy, page by page, from one snapshot. Writers go on meanwhile."""
    publish(partial(copy_pages, source, progress=progress), target)


def vacuum_into(source: sqlite3.Connection, target: Path) -> None:
    """A compact copy without a WAL, so that it can be read from a folder that cannot be written."""
    publish(lambda path: source.execute("VACUUM INTO ?", (str(path),)), target)


def copy_pages(source: sqlite3.Connection, path: Path, *, progress: Progress | None) -> None:
    """Copies into the empty file at `path`."""
    page_bytes = pragma(source, "page_size")

    def tell(status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress((total - remaining) * page_bytes, total * page_bytes)

    # In steps, a copy begins anew whenever another process writes, for ever beside a busy one: unless the source
    # stays at one snapshot until the end.
    source.execute("BEGIN")
    try:
        pragma(source, "schema_version")
        with closing(sqlite3.connect(path, isolation_level=None)) as destination:
            source.backup(destination, pages=STEP_PAGES, progress=tell)
    finally:
        source.execute("ROLLBACK")
