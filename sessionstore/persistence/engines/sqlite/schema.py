"""Making and migrating the schema: under SQLite's write lock, in one transaction, whoever else tries too."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.persistence import migrations
from sessionstore.persistence.engines.sqlite.connections import (
    SLOW_HOLDER_POLL_SECONDS,
    HeldConnection,
    begin_immediate,
    connect,
    sqlalchemy_engine,
)
from sessionstore.persistence.engines.sqlite.errors import is_busy, lock_timeout_error, translating_all
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.engines.sqlite.leftovers import make_sure_of_wal
from sessionstore.persistence.engines.sqlite.library import sqlite3


def ensure_schema(file: DatabaseFile, *, auto_migrate: bool, lock_timeout: float) -> None:
    """Looks at the database before touching it, migrates it if allowed, and puts it in WAL mode.

    Raises:
        DatabaseUnavailableError: when it is not a database of ours, or cannot be in WAL mode.
        SchemaError: when its schema is ahead of the code, or behind and `auto_migrate` is false.
        SessionLockError: when others held the lock for `lock_timeout` seconds.
    """
    look = file.look()
    migrations.require_known(look.revision, str(file))
    if look.revision != migrations.SCHEMA_REVISION:
        if not auto_migrate:
            raise migrations.behind_error(look.revision, str(file))
        with migrating_connection(file, lock_timeout) as connection:
            # Another process may have been faster; then this finds nothing left to do.
            migrations.upgrade(connection)
        file.look()
    else:
        _switch_to_wal(file, lock_timeout)


@contextmanager
def open_for_migration(path: str, lock_timeout: float) -> Iterator[Connection]:
    """For Alembic's own commands: after the same look at the file, the connection of `migrating_connection`."""
    file = DatabaseFile(path)
    with translating_all(str(file)):
        file.require_usable(create=True)
        migrations.require_known(file.look().revision, str(file))
        with migrating_connection(file, lock_timeout) as connection:
            yield connection


@contextmanager
def migrating_connection(file: DatabaseFile, lock_timeout: float) -> Iterator[Connection]:
    """A connection inside one immediate transaction, with foreign keys off until the end.

    Off, because rebuilding a parent table would silently delete its children; before the commit each row's
    parent is looked for.

    Raises:
        DatabaseUnavailableError: when rows without a parent were found; nothing is changed then.
        SessionLockError: when others held the lock for `lock_timeout` seconds.
    """
    _switch_to_wal(file, lock_timeout)
    engine = sqlalchemy_engine(
        partial(connect, file.path, durability="full", foreign_keys=False, busy_timeout_ms=0), str(file)
    )
    held = HeldConnection(engine, str(file))
    try:
        with translating_all(str(file)):
            begin_immediate(held.driver, time.monotonic() + lock_timeout, lock_timeout)
            yield held.sql
            orphans = held.driver.execute("PRAGMA foreign_key_check").fetchall()
            if orphans:
                raise DatabaseUnavailableError(
                    f"{file}: the migration would leave {len(orphans)} rows without their session (first in table "
                    f"{orphans[0][0]}); nothing was changed. Run `sessionstore check`"
                )
            held.driver.execute("COMMIT")
    finally:
        # What was not committed is rolled back with the connection.
        held.close()


def _switch_to_wal(file: DatabaseFile, lock_timeout: float) -> None:
    """Makes WAL the journal mode, and a new file one that can give space back.

    Tried again while busy: the first switch fails under a simultaneous first open, whatever the busy timeout.
    """
    with closing(connect(file.path, durability="full", busy_timeout_ms=0)) as driver:
        (mode,) = _execute_patiently(driver, "PRAGMA journal_mode", lock_timeout)
        if mode != "wal":
            # Has an effect before the first page is written only.
            _execute_patiently(driver, "PRAGMA auto_vacuum = INCREMENTAL", lock_timeout)
            (mode,) = _execute_patiently(driver, "PRAGMA journal_mode = WAL", lock_timeout)
        else:
            # Before this connection closes, which may put the WAL away.
            make_sure_of_wal(driver, file.path)
    if mode != "wal":
        raise DatabaseUnavailableError(
            f"{file}: SQLite cannot use write-ahead logging here (journal mode stays {mode}); "
            "is it on a network or shared file system? Put the database on a local disk"
        )


def _execute_patiently(driver: sqlite3.Connection, statement: str, lock_timeout: float) -> Any:
    """The first row, if there is one."""
    deadline = time.monotonic() + lock_timeout
    while True:
        try:
            return driver.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if time.monotonic() >= deadline:
                raise lock_timeout_error(lock_timeout) from error
        time.sleep(SLOW_HOLDER_POLL_SECONDS)
