"""Which SQLite runs in this process: that of Python's `sqlite3`, or a newer one from `pysqlite3` (extra `sqlite`).

Decided once, when this module is imported, for all stores of the process: two copies of SQLite that have one file
open in one process drop each other's locks (see guard). So it is no setting of a store but a variable of the
environment, SESSIONSTORE_SQLITE_LIBRARY: `auto`, the newer of those that are installed; `python`, for programs
whose own code opens the same file with `sqlite3`; or `pysqlite3`. Whatever else of the package talks to SQLite
takes `sqlite3` from here.
"""

import importlib
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sessionstore.settings import SQLITE_LIBRARY_VARIABLE

__all__ = ["Library", "running", "sqlite3"]

CHOICES = ("auto", "python", "pysqlite3")


@dataclass(frozen=True, slots=True)
class Library:
    """A copy of SQLite: the Python package that it came with, and its version."""

    package: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"SQLite {'.'.join(map(str, self.version))} of {self.package}"

    @property
    def loses_commits(self) -> bool:
        """Whether it has the WAL-reset bug: a commit beside a checkpoint of another connection may be lost.

        By its version; a distributor may have mended an older one without saying so in that.
        """
        is_mended = self.version >= (3, 51, 3) or any(
            fix <= self.version < (3, fix[1] + 1, 0) for fix in ((3, 44, 6), (3, 50, 7))
        )
        return self.version >= (3, 7, 0) and not is_mended


def running() -> Library:
    """The one that the stores of this process use."""
    return Library(sqlite3.__name__.partition(".")[0], sqlite3.sqlite_version_info)


def _chosen() -> Any:
    """The DB-API module that the environment asks for.

    Raises:
        ValueError: when it asks for something else, or for what cannot be imported.
    """
    # As with settings, the name may be in small letters.
    choice = {name.upper(): value for name, value in os.environ.items()}.get(SQLITE_LIBRARY_VARIABLE, "auto")
    if choice not in CHOICES:
        raise ValueError(f"the environment variable {SQLITE_LIBRARY_VARIABLE} must be one of {', '.join(CHOICES)}")
    if choice == "python":
        return importlib.import_module("sqlite3")
    extra = _extra(is_wanted=choice == "pysqlite3")
    if choice == "pysqlite3":
        return extra
    pythons = importlib.import_module("sqlite3")
    # A pysqlite3 that was built from source may hold an older SQLite than Python does.
    return extra if extra is not None and extra.sqlite_version_info > pythons.sqlite_version_info else pythons


def _extra(*, is_wanted: bool) -> Any:
    """pysqlite3, or None when it is not there and not wanted. Raises as `_chosen` does."""
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError as error:
        if is_wanted:
            raise ValueError(
                f"{SQLITE_LIBRARY_VARIABLE} asks for pysqlite3, which cannot be imported ({error}); "
                "run pip install 'sessionstore[sqlite]', or unset the variable"
            ) from error
        if error.name != "pysqlite3":
            # It is there but broken. Stores are safe without it, so that is no reason to stop a backend.
            warnings.warn(
                f"pysqlite3 is installed but cannot be imported ({error}); Python's sqlite3 is used instead",
                RuntimeWarning,
                stacklevel=2,
            )
        return None


if TYPE_CHECKING:
    import sqlite3  # pysqlite3 has no types of its own, and the same names
else:
    sqlite3 = _chosen()
