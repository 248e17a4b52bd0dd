"""SQLite as an engine: one writer at a time in each process, commits shared, any number of readers."""

from sessionstore.persistence.engines.sqlite.engine import SqliteEngine
from sessionstore.persistence.engines.sqlite.restoring import restore
from sessionstore.persistence.engines.sqlite.schema import open_for_migration

__all__ = ["SqliteEngine", "open_for_migration", "restore"]
