"""What reading the whole file shows: pages and indexes that are not sound, rows without their session."""

import re
from collections import Counter
from collections.abc import Iterator

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.connections import pragma
from sessionstore.persistence.engines.sqlite.errors import is_damage
from sessionstore.persistence.engines.sqlite.library import sqlite3

RESTORE = "stop writing to it, keep the file, and restore a backup: `sessionstore restore BACKUP`"
REBUILD = "the rows are sound; rebuild the index: `sessionstore check --repair`"
# As integrity_check words it when only an index disagrees with its table.
_OF_AN_INDEX = re.compile(
    r"(?:row \d+ missing from index|wrong # of entries in index|non-unique entry in index) (\S+)$"
)


def pages(connection: sqlite3.Connection) -> Iterator[Finding]:
    problems = problems_of(connection)
    if not problems:
        yield Finding(check="integrity", severity="ok", message="every page and index is sound")
        return
    remedy = REBUILD if indexes_blamed(problems) else RESTORE
    for problem in problems:
        yield Finding(check="integrity", severity="error", message=problem, remedy=remedy)


def problems_of(connection: sqlite3.Connection) -> list[str]:
    """What integrity_check says; empty when all is well."""
    lines = []
    try:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            lines.append(str(line))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        lines.append(str(error))
    return [] if lines == ["ok"] else lines


def indexes_blamed(problems: list[str]) -> set[str]:
    """The indexes that disagree with their tables, provided that nothing else is wrong."""
    blamed = [_OF_AN_INDEX.search(problem) for problem in problems]
    return {match[1] for match in blamed if match} if all(blamed) else set()


def foreign_keys(connection: sqlite3.Connection, *, reads_all: bool) -> Iterator[Finding]:
    if not pragma(connection, "foreign_keys"):
        yield Finding(
            check="foreign_keys",
            severity="error",
            message="foreign keys are not enforced",
            remedy="use an SQLite library that was built with them",
        )
        return
    tables = orphaned(connection) if reads_all else Counter()
    if not tables:
        message = "enforced, and every row has its session" if reads_all else "enforced"
        yield Finding(check="foreign_keys", severity="ok", message=message)
        return
    yield Finding(
        check="foreign_keys",
        severity="error",
        message=f"{sum(tables.values())} rows have no session (in {', '.join(tables)})",
        remedy="another program deleted sessions with foreign keys off; delete those rows, or restore a backup",
    )


def orphaned(connection: sqlite3.Connection) -> Counter[str]:
    """How many rows of which tables have no session."""
    return Counter(str(table) for table, *_ in connection.execute("PRAGMA foreign_key_check"))
