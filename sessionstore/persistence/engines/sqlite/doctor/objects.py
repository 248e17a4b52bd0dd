"""Whether the tables, indexes, triggers and views are those of the code, and nobody else's among them."""

from collections.abc import Iterator

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.migrations import REVISIONS, SCHEMA_REVISION
from sessionstore.persistence.tables import Base
from sessionstore.persistence.views import VIEWS

# Made by the migrations; a test holds them against a new database.
TRIGGERS = frozenset(
    {
        "count_closed_call",
        "count_moved_session",
        "count_new_processing",
        "count_new_session",
        "count_quiet",
        "count_status",
        "discount_gone_processing",
        "discount_gone_session",
        "discount_quiet",
        "keep_unsummed_event",
        "refuse_unsigned_call",
        "refuse_unsigned_session",
    }
)
# They have no columns of their own that anybody selects in the code.
VIEWS_FOR_VIEWS = frozenset({"every_call", "every_session"})
_tables = Base.metadata.tables.values()
EXPECTED = {
    "table": {table.name for table in _tables} | {"alembic_version"},
    "index": {str(index.name) for table in _tables for index in table.indexes},
    "trigger": TRIGGERS,
    "view": VIEWS_FOR_VIEWS | set(VIEWS.tables),
}
# So many are named in one sentence.
MAX_NAMES = 5


def revision(connection: sqlite3.Connection) -> Iterator[Finding]:
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    if found == SCHEMA_REVISION:
        yield Finding(check="schema_revision", severity="ok", message=f"the schema is at revision {found}")
        return
    yield Finding(
        check="schema_revision",
        severity="error",
        message=f"the schema is at revision {found}, the code expects {SCHEMA_REVISION}",
        remedy="run `sessionstore migrate`" if found in REVISIONS else "upgrade sessionstore",
    )


def names(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What is missing breaks the store; somebody else's trigger runs inside its writes; other things are harmless."""
    # SQLite's own have names that begin with sqlite_.
    rows = connection.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    found = [tuple(row) for row in rows]
    missing = sorted(
        {f"{kind} {name}" for kind in EXPECTED for name in EXPECTED[kind]} - {" ".join(row) for row in found}
    )
    foreign = sorted(name for kind, name in found if kind == "trigger" and name not in TRIGGERS)
    if missing:
        yield Finding(
            check="schema_objects",
            severity="error",
            message=f"another program removed {_listed(missing)}",
            remedy="stop writing to it, and restore a backup: `sessionstore restore BACKUP`",
        )
    if foreign:
        yield Finding(
            check="schema_objects",
            severity="warning",
            message=f"triggers that are not the store's run inside its writes: {_listed(foreign)}",
            remedy="look at what they do, and drop them if nobody needs them: DROP TRIGGER NAME",
        )
    if not missing and not foreign:
        others = sum(name not in EXPECTED[kind] for kind, name in found)
        message = "all tables, indexes, triggers and views are there" + (f", and {others} of others" if others else "")
        yield Finding(check="schema_objects", severity="ok", message=message)


def _listed(what: list[str]) -> str:
    more = f" and {len(what) - MAX_NAMES} more" if len(what) > MAX_NAMES else ""
    return ", ".join(what[:MAX_NAMES]) + more
