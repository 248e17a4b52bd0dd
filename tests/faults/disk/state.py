"""What a database holds, and what of it a process has open."""

import os
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

# What is made anew each time, so that two runs of a deed differ in it.
RANDOM_COLUMNS = {"run_id", "process", "call_id"}


def state_of(database: Path) -> str:
    """A digest of every row of every table, as a connection of its own sees them."""
    if not database.exists():
        return "nothing"
    digest = sha256()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        if not tables:
            return "nothing"
        for (table,) in tables:
            cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - names of the store's own tables
            kept = [at for at, column in enumerate(cursor.description) if column[0] not in RANDOM_COLUMNS]
            rows = sorted(repr([row[at] for at in kept]) for row in cursor)
            digest.update(repr((table, rows)).encode())
    return digest.hexdigest()


def scenes_in(database: Path) -> set[tuple[str, int]]:
    """The session and number of each scene."""
    if not database.exists():
        return set()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'scenes'").fetchall()
        return set(connection.execute("SELECT session_id, scene_number FROM scenes") if tables else ())


def descriptors_in(folder: Path) -> list[str]:
    """The files under the folder that this process has open."""
    paths = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue  # The one that the list itself was read by.
    return sorted(Path(path).name for path in paths if path.startswith(f"{folder}/"))
