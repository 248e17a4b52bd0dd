"""Commands that copy a store: backup, snapshot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from sessionstore.cli.opening import Database, open_manager
from sessionstore.cli.output import console, is_for_people

NewFile = Annotated[Path, typer.Argument(help="A new file.")]


def backup(path: NewFile, database: Database = None) -> None:
    """Copy the store exactly, while it is in use."""
    with open_manager(database) as manager, _shown("Copying", "Syncing") as progress:
        manager.backup(path, progress)
    print(f"Saved {path} ({path.stat().st_size:,} bytes).")


def snapshot(path: NewFile, database: Database = None) -> None:
    """Copy the store compactly, into a file that any tool can read from anywhere."""
    with open_manager(database) as manager:
        manager.snapshot(path)
    print(f"Saved {path} ({path.stat().st_size:,} bytes).")


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
