"""Disks that are full at a word and have room again at another: three ways to bring that about."""

import os
import resource
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite.connections import pragma
from tests.concurrency import engine_of


class Disk(ABC):
    """Where a store is to be; `words` are those of the error when there is no room."""

    words: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def is_full(self, manager: SessionManager | None = None) -> "Filling":
        """For a `with` statement: no file of the store (of `manager`, where there is one) can grow meanwhile."""


class Filling:
    """What `Disk.is_full` gives: `make_room` ends it before the block does."""

    def __init__(self, fill: Iterator[None]) -> None:
        self._fill = fill

    def __enter__(self) -> "Filling":
        next(self._fill)
        return self

    def make_room(self) -> None:
        next(self._fill, None)

    def __exit__(self, *error: object) -> None:
        self.make_room()


class SmallDisk(Disk):
    """A file system of some megabytes, which another file fills."""

    words = "the disk is full"

    def is_full(self, manager: SessionManager | None = None) -> Filling:
        return Filling(self._fill())

    def _fill(self) -> Iterator[None]:
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2
        yield
        filler.unlink()


class FileSizeLimit(Disk):
    """The limit that the system sets to the files of a process, which answers EFBIG."""

    words = "has reached the size that the system allows"
    # None: what the largest file of the store has now.
    limit_bytes: int | None = None

    def is_full(self, manager: SessionManager | None = None) -> Filling:
        return Filling(self._limit())

    def _limit(self) -> Iterator[None]:
        largest = max((each.stat().st_size for each in self.folder.iterdir()), default=0)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit_bytes or largest, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class PageLimit(Disk):
    """SQLite's own limit of pages: it says that the disk is full, and the system is never asked."""

    words = "the disk is full"

    def is_full(self, manager: SessionManager | None = None) -> Filling:
        assert manager is not None
        return Filling(self._limit(manager))

    def _limit(self, manager: SessionManager) -> Iterator[None]:
        driver = engine_of(manager)._writer.driver
        before = pragma(driver, "max_page_count")
        driver.execute(f"PRAGMA max_page_count = {pragma(driver, 'page_count')}")
        yield
        driver.execute(f"PRAGMA max_page_count = {before}")


@contextmanager
def small_disk(folder: Path, megabytes: int = 8) -> Iterator[Path]:
    """Mounts one on the folder; skips the test where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk can be mounted by root on Linux only")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
