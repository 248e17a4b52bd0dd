"""What is well and what is not with a SQLite database: one finding for each question asked."""

from collections.abc import Callable, Iterator

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.connections import pragma
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.migrations import SCHEMA_REVISION

RESTORE = "stop writing to it, keep the file, and restore a backup"


def examine(connection: sqlite3.Connection) -> list[Finding]:
    """All findings, in a fixed order. Reads the whole file; what cannot be read is a finding too."""
    questions: list[Callable[[sqlite3.Connection], Iterator[Finding]]] = [
        _schema_revision,
        _integrity,
        _foreign_keys,
        _journal_mode,
    ]
    findings: list[Finding] = []
    for question in questions:
        try:
            findings += question(connection)
        except sqlite3.DatabaseError as error:
            findings.append(Finding.unreadable(question.__name__.strip("_"), error))
    return findings


def _schema_revision(connection: sqlite3.Connection) -> Iterator[Finding]:
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    if found == SCHEMA_REVISION:
        yield Finding(check="schema_revision", severity="ok", message=f"the schema is at revision {found}")
    else:
        yield Finding(
            check="schema_revision",
            severity="error",
            message=f"the schema is at revision {found}, the code expects {SCHEMA_REVISION}",
            remedy="upgrade sessionstore, or run `sessionstore migrate`",
        )


def _integrity(connection: sqlite3.Connection) -> Iterator[Finding]:
    problems = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    if problems == ["ok"]:
        yield Finding(check="integrity", severity="ok", message="every page and index is sound")
        return
    for problem in problems:
        yield Finding(check="integrity", severity="error", message=problem, remedy=RESTORE)


def _foreign_keys(connection: sqlite3.Connection) -> Iterator[Finding]:
    if not pragma(connection, "foreign_keys"):
        yield Finding(
            check="foreign_keys",
            severity="error",
            message="foreign keys are not enforced",
            remedy="use an SQLite library that was built with them",
        )
        return
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    if not orphans:
        yield Finding(check="foreign_keys", severity="ok", message="enforced, and every row has its session")
        return
    tables = ", ".join(sorted({str(row[0]) for row in orphans}))
    yield Finding(
        check="foreign_keys",
        severity="error",
        message=f"{len(orphans)} rows have no session (in {tables})",
        remedy="another program deleted sessions with foreign keys off; delete those rows, or restore a backup",
    )


def _journal_mode(connection: sqlite3.Connection) -> Iterator[Finding]:
    mode = pragma(connection, "journal_mode")
    if mode == "wal":
        yield Finding(check="journal_mode", severity="ok", message="write-ahead logging is on")
    else:
        yield Finding(
            check="journal_mode",
            severity="error",
            message=f"the journal mode is {mode}, not wal",
            remedy="put the database on a local disk; network and shared folders cannot do it",
        )
