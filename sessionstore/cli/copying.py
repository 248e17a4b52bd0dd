"""Commands that copy a store, and make one from a copy: backup, snapshot, restore."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from sessionstore.cli.opening import Database, open_manager, settings_for
from sessionstore.cli.output import console, is_for_people, readable

NewFile = Annotated[Path, typer.Argument(help="A new file.")]


def backup(path: NewFile, database: Database = None) -> None:
    """Copy the store exactly, while it is in use."""
    with open_manager(database) as manager, _shown("Copying", "Syncing") as progress:
        manager.backup(path, progress)
    print(f"Saved {readable(path)} ({path.stat().st_size:,} bytes).")


def snapshot(path: NewFile, database: Database = None) -> None:
    """Copy the store compactly, into a file that any tool can read from anywhere."""
    with open_manager(database) as manager:
        manager.snapshot(path)
    print(f"Saved {readable(path)} ({path.stat().st_size:,} bytes).")


def restore(
    path: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `sessionstore backup` wrote.")],
    database: Database = None,
) -> None:
    """Make a store from a backup, where there is none yet. The backup is examined first, and stays as it is."""
    # SQLAlchemy takes a quarter of a second to import, which `--help` should not have to wait for.
    from sessionstore.operations.copies import restore as restore_backup  # noqa: PLC0415

    database_url = settings_for(database).database_url
    with _shown("Copying", "Examining") as progress:
        restore_backup(path, database_url, progress=progress)
    print(f"Restored {readable(database_url.removeprefix('sqlite:///'))} from {readable(path)}.")


@contextmanager
def _shown(copying: str, then: str) -> Iterator[Callable[[int, int], object] | None]:
    """A bar for who looks on, which says what comes after the copying; nothing for a pipe."""
    if not is_for_people():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(copying, total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description=copying if done < total else then
        )
