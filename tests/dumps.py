"""What a closed database holds, to be compared before and after."""

import sqlite3
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]


def query(database: Path, statement: str, *parameters: object) -> list[Row]:
    """All rows; committed, when the statement writes. Foreign keys are off, as SQLite has them by default."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def dump(database: Path) -> dict[str, list[Row]]:
    """Every row of every table, in a fixed order."""
    tables = [name for (name,) in query(database, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {table: sorted(query(database, f"SELECT * FROM {table}"), key=repr) for table in tables}  # noqa: S608


def schema(database: Path) -> dict[str, str]:
    """The statements that made each table and index, without Alembic's own table and SQLite's."""
    rows = query(database, "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: sql for name, sql in rows if "alembic" not in name and "sqlite_" not in name}


def revision(database: Path) -> str | None:
    """Alembic's mark, None when there is none."""
    if not query(database, "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'"):
        return None
    rows = query(database, "SELECT version_num FROM alembic_version")
    return rows[0][0] if rows else None


def file_bytes(database: Path) -> bytes:
    """The closed file, byte for byte; the -wal and -shm that a look at it may make beside it hold no data."""
    wal = database.with_name(f"{database.name}-wal")
    assert not wal.exists() or not wal.stat().st_size
    return database.read_bytes()


def text_of(value: object) -> object:
    """A value of `manager.report` as it stands in the view: instants and days are text."""
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds")[:23]
    return value.isoformat() if isinstance(value, date) else value
