"""How one database runs units of work: the only abstract seam of the store."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from sessionstore.clock import Clock
from sessionstore.events import CallbackRegistry
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines import forks, sqlite
from sessionstore.persistence.engines.base import Engine, Progress
from sessionstore.settings import Settings


def open_engine(
    settings: Settings, *, clock: Clock, codec: SessionCodec[Any, Any], callbacks: CallbackRegistry
) -> Engine:
    """The engine that the scheme of `settings.database_url` names, open and with its schema checked.

    Raises:
        ValueError: for a URL that cannot be read, or names a database there is no engine for.
        DatabaseUnavailableError: when there is no usable database where it points.
        SchemaError: when the schema is not the code's, and not to be migrated.
    """
    path = _path_in(settings.database_url)
    with forks.held_off():
        return sqlite.SqliteEngine(path, settings, clock=clock, codec=codec, callbacks=callbacks)


def migrating_connection(settings: Settings) -> AbstractContextManager[Connection]:
    """A connection for Alembic's own commands, in one transaction that nobody else can write beside.

    Raises as `open_engine` does.
    """
    return sqlite.open_for_migration(_path_in(settings.database_url), settings.lock_timeout)


def restore_database(backup: Path, settings: Settings, progress: Progress | None) -> None:
    """Makes the database of `settings.database_url` from a backup of the same kind.

    Raises:
        ValueError: as `open_engine` does.
        DatabaseUnavailableError: when something is there already, or the backup is damaged or none.
        SchemaError: when the backup is of a newer version of the code.
    """
    sqlite.restore(backup, _path_in(settings.database_url), progress)


def _path_in(database_url: str) -> str:
    """The path of a `sqlite:///` URL, taken as it stands: people put paths with spaces, % and # behind it."""
    scheme, separator, rest = database_url.partition("://")
    if not separator:
        raise ValueError(
            "database_url cannot be read; write it like sqlite:///sessionstore.db or sqlite:////var/lib/app/s.db"
        )
    if scheme not in {"sqlite", "sqlite+pysqlite"}:
        raise ValueError("database_url names a kind of database for which there is no engine; use sqlite:///FILE")
    if rest and not rest.startswith("/"):
        raise ValueError("database_url: SQLite takes a path only; write sqlite:///FILE (relative) or sqlite:////FILE")
    return rest[1:]
