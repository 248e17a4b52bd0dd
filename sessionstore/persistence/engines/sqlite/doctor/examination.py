"""All questions in a fixed order. What cannot be answered is a finding too."""

from collections.abc import Callable, Iterable
from functools import partial

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.doctor import damage, modes, objects, places, wal
from sessionstore.persistence.engines.sqlite.doctor.leftovers import leftovers
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.engines.sqlite.library import running, sqlite3

Question = Callable[[], Iterable[Finding]]


def examine(connection: sqlite3.Connection, file: DatabaseFile, *, durability: str, reads_all: bool) -> list[Finding]:
    """Every finding about the database as such; `reads_all` includes those that read every page of it."""
    questions: dict[str, Question] = {
        "sqlite_library": partial(modes.library, running()),
        "schema_revision": partial(objects.revision, connection),
        "schema_objects": partial(objects.names, connection),
        "foreign_keys": partial(damage.foreign_keys, connection, reads_all=reads_all),
        "journal_mode": partial(modes.journal_mode, connection),
        "durability": partial(modes.synchronous, connection, durability),
        "file_system": partial(places.file_system, file.path),
        "file_mode": partial(places.file_mode, file.path),
        "disk_space": partial(places.disk_space, file.path),
        "wal": partial(wal.size, file.path),
        "leftovers": partial(leftovers, file.path.parent),
    }
    if reads_all:
        questions["integrity"] = partial(damage.pages, connection)
    findings: list[Finding] = []
    for name, ask in questions.items():
        try:
            findings += ask()
        except (sqlite3.DatabaseError, UnicodeDecodeError, OSError) as error:
            findings.append(Finding.unreadable(name, error))
    return findings
