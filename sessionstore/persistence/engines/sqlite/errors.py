"""SQLite's error codes, in the store's words. The one place that knows them."""

from collections.abc import Iterator
from contextlib import contextmanager

from sessionstore.errors import DatabaseUnavailableError, SessionLockError
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.execution import MalformedTextError

_WHAT_TO_DO = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing was changed, make room and try again",
    sqlite3.SQLITE_IOERR: "reading or writing failed; look at the disk and the system's log, then try again",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the permissions of the file and of its folder",
    sqlite3.SQLITE_READONLY_ROLLBACK: "a -journal lies beside it, of a write that was cut off or of another database; "
    "if it came there with a copy, move it away",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the folder exists and may be written",
    sqlite3.SQLITE_PERM: "access was denied; check the permissions of the file and of its folder",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database, or its first page is damaged; give another file or a backup",
    sqlite3.SQLITE_CORRUPT: "SQLite read something malformed; run `sessionstore check`, and keep the file as it is",
    sqlite3.SQLITE_NOMEM: "SQLite ran out of memory",
    sqlite3.SQLITE_TOOBIG: "a value is larger than SQLite takes",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work; is it on a network file system?",
}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock that will be free again."""
    return _primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether what was read makes no sense, for good or because the disk fails."""
    return _primary_code(error) == sqlite3.SQLITE_CORRUPT


def lock_timeout_error(lock_timeout: float) -> SessionLockError:
    """Nobody let this write in for so long."""
    return SessionLockError(
        f"the store was not free to write within {lock_timeout:g} s (setting lock_timeout); nothing was changed. "
        "Look for a long with_session_lock() or transaction(), here or in another process",
        lock_timeout=lock_timeout,
    )


def translated(error: sqlite3.Error | UnicodeDecodeError, database: str) -> DatabaseUnavailableError:
    """The store's error for one of the driver's."""
    code = getattr(error, "sqlite_errorcode", 0)
    if type(error) is sqlite3.OperationalError and not code:
        # The driver's own, not SQLite's. Its message repeats what is stored.
        return MalformedTextError(f"{database}: a stored text is damaged; run `sessionstore check`")
    advice = _WHAT_TO_DO.get(code) or _WHAT_TO_DO.get(_primary_code(error), "SQLite refused it")
    return DatabaseUnavailableError(
        f"{database}: {advice} ({_name(error)})", in_doubt=False, is_damaged=is_damage(error)
    )


def in_doubt_error(error: sqlite3.Error, database: str) -> DatabaseUnavailableError:
    """The store's error for a commit that failed: it may be there after a crash, or not."""
    return DatabaseUnavailableError(
        f"{database}: the commit failed ({_name(error)}), and whether it was saved is unknown; repeat the write, "
        "which is harmless when it was",
        in_doubt=True,
    )


@contextmanager
def translating(database: str) -> Iterator[None]:
    """Around calls of the driver that do not go through SQLAlchemy."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translated(error, database) from error


def _primary_code(error: sqlite3.Error | UnicodeDecodeError) -> int:
    if isinstance(error, UnicodeDecodeError):
        # The driver could not read SQLite's message, which names what is malformed.
        return sqlite3.SQLITE_CORRUPT
    # Extended result codes hold the primary one in their lowest byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _name(error: sqlite3.Error | UnicodeDecodeError) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)
