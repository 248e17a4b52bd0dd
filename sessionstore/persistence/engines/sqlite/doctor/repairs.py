"""What can be mended in the files without losing anything. Each says what it did, by the finding it mends."""

import os
from collections.abc import Iterable
from pathlib import Path

from sessionstore.persistence.engines.base import Repair
from sessionstore.persistence.engines.sqlite.connections import pragma
from sessionstore.persistence.engines.sqlite.doctor.leftovers import abandoned
from sessionstore.persistence.engines.sqlite.doctor.places import open_to_others
from sessionstore.persistence.engines.sqlite.library import sqlite3


def close_to_others(path: Path) -> list[Repair]:
    """By path: to open a file of the database would drop this process's locks on it."""
    done = []
    for each, mode in open_to_others(path).items():
        os.chmod(each, 0o600)
        done.append(("file_mode", f"{each.name}: mode {mode:04o} is 0600 now"))
    return done


def remove_leftovers(folder: Path) -> list[Repair]:
    done = []
    for each in abandoned(folder):
        each.unlink(missing_ok=True)
        done.append(("leftovers", f"{each.name} is removed"))
    return done


def rebuild_indexes(writer: sqlite3.Connection, names: Iterable[str]) -> list[Repair]:
    """Inside a write transaction."""
    done = []
    for name in sorted(names):
        quoted = name.replace('"', '""')
        writer.execute(f'REINDEX "{quoted}"')
        done.append(("integrity", f"index {name} is rebuilt from its table"))
    return done


def rewrite_header(writer: sqlite3.Connection) -> None:
    """A commit that changes nothing."""
    writer.execute(f"PRAGMA user_version = {pragma(writer, 'user_version')}")
