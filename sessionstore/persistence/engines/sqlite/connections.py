"""Connections as the store needs them, and the statements that bound their transactions.

SQLAlchemy executes the statements; transactions are begun and ended on the driver's connection. Its own
bookkeeping of them costs as much as a small write, and it closes a connection that is interrupted in a commit,
when nobody can tell any more whether that commit happened.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, NullPool, create_engine, event

from sessionstore.persistence.engines.sqlite.errors import is_busy, lock_timeout_error, translated
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.execution import Executor

# SQLite itself waits so long for locks other than the writer's, such as those of recovery after a crash.
BUSY_TIMEOUT_MS = 10_000
# Between tries for the write lock. Who looks once in a while, as SQLite's own back-off does (up to 100 ms), starves
# beside a busy process. Looking every 50 µs instead brings four of them nothing but twice the processor time.
WRITE_LOCK_POLL_SECONDS = 0.0005
SLOW_HOLDER_SECONDS = 1.0
SLOW_HOLDER_POLL_SECONDS = 0.001
# A WAL file that once grew (a long reader, a large cleanup) is cut back to this when it starts over.
JOURNAL_SIZE_LIMIT_BYTES = 16 * 1024 * 1024

# SQLAlchemy logs statements for who asks for them. Parameters it leaves out when told to; rows, at level DEBUG, never:
# there are stories in them.
LOGGING_NAME = "sessionstore"
logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGING_NAME}").addFilter(lambda record: record.msg != "Row %r")


def connect(
    path: Path, *, durability: str, foreign_keys: bool = True, busy_timeout_ms: int = BUSY_TIMEOUT_MS
) -> sqlite3.Connection:
    """A driver connection without implicit transactions, set up as every connection of the store is."""
    # mode=rw: a database that was taken away must not come back as an empty file.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        # The file may be somebody else's: what is in its schema calls no function that could do more than compute, and
        # a page that was made up is found out before it is read.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT_BYTES}")
        # Never by itself: on SQLite 3.7.0 to 3.51.2 a checkpoint that runs beside a commit can lose it.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # Last: the pragmas themselves may have to wait, while another process makes or recovers the file.
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
    except BaseException:
        # Else it would stay open for as long as the exception is kept.
        connection.close()
        raise
    return connection


def sqlalchemy_engine(creator: Callable[[], sqlite3.Connection], database: str) -> Engine:
    """SQLAlchemy over such connections; errors leave it as the store's own. `database` is named in them."""
    engine = create_engine(
        "sqlite://",
        module=sqlite3,
        creator=creator,
        poolclass=NullPool,
        paramstyle="named",
        hide_parameters=True,
        logging_name=LOGGING_NAME,
    )

    @event.listens_for(engine, "handle_error", retval=True)
    def _translate(context: ExceptionContext) -> BaseException | None:
        cause = context.original_exception
        return translated(cause, database) if isinstance(cause, sqlite3.Error) else None

    @event.listens_for(engine, "invalidate")
    def _free_lock(driver: Any, record: Any, exception: BaseException | None) -> None:
        # An interrupted statement lives on with the frames of the exception, and would keep the closed connection's
        # transaction open.
        if driver.in_transaction:
            driver.execute("ROLLBACK")

    return engine


class HeldConnection:
    """A connection that is kept open, as the driver, SQLAlchemy and the repository see it. For one thread at a time."""

    def __init__(self, engine: Engine, database: str) -> None:
        self.sql: Connection = engine.connect()
        # In SQLAlchemy's view one transaction goes on for ever; it emits nothing and nobody ends it.
        self.sql.begin()
        driver = self.sql.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self.driver = driver
        self.statements = Executor(self.sql, partial(translated, database=database))

    def is_sound(self) -> bool:
        """False once SQLAlchemy closed it, as an interruption in a statement makes it do."""
        return not (self.sql.closed or self.sql.invalidated)

    def close(self) -> None:
        """Ends the connection, and with it a transaction that is still open."""
        self.sql.invalidate()
        self.sql.close()
        self.driver.close()


def begin_immediate(driver: sqlite3.Connection, deadline: float, lock_timeout: float) -> None:
    """Begins a write transaction, waiting until `deadline` (monotonic seconds) for other processes.

    At once immediate: a transaction that begins by reading and then writes fails at once when it must wait.

    Raises:
        SessionLockError: when the lock was not free in time; `lock_timeout` is what that is blamed on.
    """
    patient_from = None
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            now = time.monotonic()
            if now >= deadline:
                raise lock_timeout_error(lock_timeout) from error
        patient_from = patient_from or now + SLOW_HOLDER_SECONDS
        time.sleep(WRITE_LOCK_POLL_SECONDS if now < patient_from else SLOW_HOLDER_POLL_SECONDS)


def pragma(driver: sqlite3.Connection, name: str) -> Any:
    """The one value of a pragma."""
    return driver.execute(f"PRAGMA {name}").fetchone()[0]
