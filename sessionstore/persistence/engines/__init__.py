"""How one database runs units of work: the only abstract seam of the store."""

from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import URL, Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sessionstore.clock import Clock
from sessionstore.events import CallbackRegistry
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines import sqlite
from sessionstore.persistence.engines.base import Engine
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
    url = _parsed(settings.database_url)
    return sqlite.SqliteEngine(url, settings, clock=clock, codec=codec, callbacks=callbacks)


def migrating_connection(settings: Settings) -> AbstractContextManager[Connection]:
    """A connection for Alembic's own commands, in one transaction that nobody else can write beside.

    Raises as `open_engine` does.
    """
    return sqlite.open_for_migration(_parsed(settings.database_url), settings.lock_timeout)


def _parsed(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ValueError(
            "database_url cannot be read; write it like sqlite:///sessionstore.db or sqlite:////var/lib/app/s.db"
        ) from None
    if url.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise ValueError(f"database_url names {url.drivername!r}, for which there is no engine; use sqlite:///FILE")
    return url
