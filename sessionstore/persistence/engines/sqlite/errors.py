"""SQLite's error codes, in the store's words. The one place that knows them."""

from collections.abc import Iterator
from contextlib import contextmanager

from sessionstore.errors import DatabaseUnavailableError, SessionLockError
from sessionstore.persistence.engines.sqlite import shortage
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.execution import MalformedTextError

# Extended result codes, which pysqlite3 does not name: the primary code with a number in the next byte.
_READONLY_ROLLBACK = sqlite3.SQLITE_READONLY | 3 << 8
_IOERR_WRITE, _IOERR_TRUNCATE, _IOERR_SHMSIZE = (sqlite3.SQLITE_IOERR | number << 8 for number in (3, 6, 19))

_WHAT_TO_DO = {
    # Our statements are the same always: it is the tables that are not.
    sqlite3.SQLITE_ERROR: "its tables are not what they were; was it emptied or migrated? Run `sessionstore check`",
    sqlite3.SQLITE_FULL: shortage.FULL,
    sqlite3.SQLITE_IOERR: "reading or writing failed; look at the disk and the system's log, then try again",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the permissions of the file and of its folder; try again",
    _READONLY_ROLLBACK: "a -journal lies beside it, of a write that was cut off or of another database; "
    "if it came there with a copy, move it away",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the folder exists and may be written",
    sqlite3.SQLITE_PERM: "access was denied; check the permissions of the file and of its folder",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database, or its first page is damaged; give another file or a backup",
    sqlite3.SQLITE_CORRUPT: "SQLite read something malformed; run `sessionstore check`, and keep the file as it is",
    sqlite3.SQLITE_NOMEM: shortage.NO_MEMORY,
    sqlite3.SQLITE_TOOBIG: "a value is larger than SQLite takes",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work; is it on a network file system?",
}
# A quota that is used up looks like a broken disk to SQLite, and we cannot ask for it.
_MAYBE_A_QUOTA = (
    "writing failed; look whether a quota of the disk or the limit of file sizes (ulimit -f) is reached, at the disk, "
    "and at the system's log, then try again"
)
_WHEN_WRITING = {_IOERR_WRITE, _IOERR_TRUNCATE, _IOERR_SHMSIZE}
# These come of shortages too.
_MAYBE_A_SHORTAGE = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock that will be free again."""
    return _primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether what was read makes no sense, for good or because the disk fails."""
    return _primary_code(error) == sqlite3.SQLITE_CORRUPT


def is_before_rollback(error: sqlite3.Error) -> bool:
    """Of an error met in reading: whether a journal must be played back first, which a read-only connection may not.

    By the primary code: pysqlite3 does not tell the extended one.
    """
    return _primary_code(error) == sqlite3.SQLITE_READONLY


def lock_timeout_error(lock_timeout: float) -> SessionLockError:
    """Nobody let this write in for so long."""
    return SessionLockError(
        f"the store was not free to write within {lock_timeout:g} s (setting lock_timeout); nothing was changed. "
        "Look for a long with_session_lock() or transaction(), here or in another process",
        lock_timeout=lock_timeout,
    )


def translated(error: sqlite3.Error | UnicodeDecodeError, database: str) -> DatabaseUnavailableError:
    """The store's error for one of the driver's."""
    if type(error) is sqlite3.OperationalError and not hasattr(error, "sqlite_errorcode"):
        # The driver's own, not SQLite's. Its message repeats what is stored.
        return MalformedTextError(f"{database}: a stored text is damaged; run `sessionstore check`")
    return DatabaseUnavailableError(
        f"{database}: {_advice(error, database)} ({_name(error)})", in_doubt=False, is_damaged=is_damage(error)
    )


def translated_system_error(error: OSError, database: str) -> DatabaseUnavailableError:
    """The store's error for one of the system, met at a file that we handle ourselves."""
    reason = error.strerror or type(error).__name__
    advice = shortage.shortage_of(error) or "look at the disk and the system's log, then try again"
    return DatabaseUnavailableError(f"{error.filename or database}: {advice} ({reason})", in_doubt=False)


def in_doubt_error(error: sqlite3.Error, database: str) -> DatabaseUnavailableError:
    """The store's error for a commit that failed: it may be there after a crash, or not."""
    return DatabaseUnavailableError(
        f"{database}: {_advice(error, database)} ({_name(error)}). The commit failed, and whether it was saved is "
        "unknown; repeat the write, which is harmless when it was",
        in_doubt=True,
    )


@contextmanager
def translating(database: str) -> Iterator[None]:
    """Around calls of the driver that do not go through SQLAlchemy."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translated(error, database) from error


@contextmanager
def translating_all(database: str) -> Iterator[None]:
    """Around calls of the system too; not where a caller's code may run, whose errors are its own."""
    try:
        with translating(database):
            yield
    except OSError as error:
        raise translated_system_error(error, database) from error


def _advice(error: sqlite3.Error | UnicodeDecodeError, database: str) -> str:
    code, whole_code = _primary_code(error), getattr(error, "sqlite_errorcode", 0)
    found = shortage.current_shortage(database) if code in _MAYBE_A_SHORTAGE else None
    if found is None and whole_code in _WHEN_WRITING:
        found = _MAYBE_A_QUOTA
    return found or _WHAT_TO_DO.get(whole_code) or _WHAT_TO_DO.get(code, "SQLite refused it")


def _primary_code(error: sqlite3.Error | UnicodeDecodeError) -> int:
    if isinstance(error, UnicodeDecodeError):
        # The driver could not read SQLite's message, which names what is malformed.
        return sqlite3.SQLITE_CORRUPT
    # Extended result codes hold the primary one in their lowest byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _name(error: sqlite3.Error | UnicodeDecodeError) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)
