"""The database as a file: where it is, whether it may be touched, and whether it is still there."""

import os
import stat
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sessionstore.errors import DatabaseUnavailableError, SchemaError
from sessionstore.persistence.engines.sqlite.errors import is_before_rollback, translated_system_error
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.migrations import EXPECTED_COLUMNS, SCHEMA_REVISION

T = TypeVar("T")

# "sess", in the header of each database of ours (PRAGMA application_id), so that it is never mistaken.
APPLICATION_ID = 0x73657373

MAX_PATH_BYTES = 4096
# One page. SQLite takes a smaller file for an empty one, and would write over it.
SMALLEST_DATABASE_BYTES = 512
# What a rollback journal begins with: its mark, how many pages it holds, a number, how many the database had, the sizes
# of a sector and of a page.
JOURNAL_HEADER = struct.Struct(">8sIIIII")


@dataclass(frozen=True, slots=True)
class Look:
    """What a database file holds, found out without changing a byte of it."""

    is_empty: bool
    revision: str | None


class DatabaseFile:
    """The file behind a `sqlite:///` URL. Its path is made absolute once: a later chdir changes nothing."""

    def __init__(self, path: str) -> None:
        if not path or path == ":memory:" or path.startswith("file:"):
            raise ValueError(
                "database_url: give a file, like sqlite:///sessionstore.db; a memory database keeps nothing"
            )
        if "?" in path:
            raise ValueError("database_url: options after '?' are not supported, and '?' cannot be part of the path")
        if "\0" in path or not _can_be_encoded(path):
            raise ValueError("database_url: the path must not hold NUL characters or lone surrogates")
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            raise ValueError(f"database_url: the path is longer than {MAX_PATH_BYTES} bytes")
        try:
            self._given = Path(path).expanduser().absolute()
        except RuntimeError:
            raise ValueError("database_url: there is no such user; give a path without ~") from None
        # SQLite keeps the WAL beside the file itself, not beside a link to it.
        try:
            self.path = self._given.resolve()
        except (OSError, RuntimeError) as error:
            raise self._unusable("it cannot be reached; check the path and the links in it") from error
        # As text, for it is asked for after each commit: a Path is turned into text each time.
        self._main, self._wal = str(self._given), f"{self.path}-wal"
        self._identity: tuple[int, int] | None = None
        self._wal_identity: tuple[int, int] | None = None

    def __str__(self) -> str:
        return str(self.path)

    def require_usable(self, *, create: bool) -> None:
        """Refuses what cannot be a database of ours; makes an empty one, readable to its owner only.

        Raises:
            DatabaseUnavailableError: saying what is there instead and what to do.
        """
        try:
            status = self._given.stat()
        except FileNotFoundError:
            self._require_folder()
            if not create:
                raise self._unusable("there is no database; `sessionstore migrate` makes one") from None
            self._create()
            return
        except OSError as error:
            raise self._unusable(f"it cannot be reached ({error.strerror}); check the path") from error
        if stat.S_ISDIR(status.st_mode):
            raise self._unusable("it is a folder; give the path of a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise self._unusable("it is no regular file; give another path")
        if status.st_nlink > 1:
            raise self._unusable("it has a second name (a hard link), under which SQLite would lose writes; copy it")
        if 0 < status.st_size < SMALLEST_DATABASE_BYTES:
            raise self._unusable("it is no SQLite database; give another file")
        if not os.access(self.path, os.R_OK | os.W_OK):
            raise self._unusable("it may not be read and written; check its permissions")
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise self._unusable("its folder may not be written, where SQLite keeps the WAL; check its permissions")

    def look(self) -> Look:
        """Whose database this is, found by a read-only connection: switching modes would rewrite its header.

        Raises:
            DatabaseUnavailableError: when it is no database, or another application's.
            SchemaError: when it says it is ours but its tables differ.
        """
        try:
            return self._look("mode=ro")
        except sqlite3.OperationalError as error:
            if not is_before_rollback(error):
                raise
            # Its maker died while it switched to WAL, which is a transaction with a rollback journal. A look past the
            # journal refuses what is not ours; then SQLite may roll back, which writes.
            if not self._look("immutable=1").is_empty and not self._has_journal_of_the_switch():
                raise
        self._ask("mode=rw", lambda connection: connection.execute("SELECT count(*) FROM sqlite_schema").fetchone())
        return self._look("mode=ro")

    def _has_journal_of_the_switch(self) -> bool:
        """Whether the journal beside a store changes its first page only. Another database's would overwrite it."""
        with open(f"{self.path}-journal", "rb") as journal:
            header = journal.read(JOURNAL_HEADER.size)
        if len(header) < JOURNAL_HEADER.size:
            return False
        _, page_count, _, pages_before, _, page_bytes = JOURNAL_HEADER.unpack(header)
        is_of_this_size: bool = pages_before * page_bytes == self.path.stat().st_size
        return is_of_this_size and page_count <= 1

    def _look(self, how: str) -> Look:
        return self._ask(how, lambda connection: look_through(connection, self.path))

    def _ask(self, how: str, question: Callable[[sqlite3.Connection], T]) -> T:
        uri = f"{self.path.as_uri()}?{how}"
        with closing(sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)) as connection:
            return question(connection)

    def remember(self) -> None:
        """Notes which file is open, for `verify`. The database must be in WAL mode and have an open connection."""
        self._identity = self._identify(self.path)
        self._wal_identity = self._identify(self._wal)

    @property
    def identity(self) -> tuple[int, int]:
        assert self._identity is not None, "remember() comes first"
        return self._identity

    def verify(self) -> int:
        """The size of the WAL in bytes, provided the files are still those that were opened.

        A write into a file that was removed or replaced is acknowledged by SQLite, and gone: so this is asked
        after each commit, before anybody is told that it is durable.

        Raises:
            DatabaseUnavailableError: when they are not.
        """
        found = self._find_same()
        if found is None:
            raise DatabaseUnavailableError(
                f"{self.path}: the file was removed, renamed, linked or replaced while it was open; this write is not "
                "in the file of that name now. Put the file back, close this manager and open it again",
                in_doubt=True,
            )
        return found[1].st_size

    def sizes(self) -> dict[str, int]:
        """The bytes of the file and of the WAL beside it.

        Raises:
            DatabaseUnavailableError: when they are not those that were opened.
        """
        found = self._find_same()
        if found is None:
            raise DatabaseUnavailableError(
                f"{self.path}: the file was removed, renamed, linked or replaced while it was open. Put the file back, "
                "close this manager and open it again"
            )
        return {"database": found[0].st_size, "wal": found[1].st_size}

    def _find_same(self) -> tuple[os.stat_result, os.stat_result] | None:
        """The file and its WAL, provided they are still those that were opened."""
        try:
            main, wal = os.stat(self._main), os.stat(self._wal)
        except OSError:
            return None
        is_same = (
            (main.st_dev, main.st_ino) == self._identity
            and (wal.st_dev, wal.st_ino) == self._wal_identity
            and main.st_nlink == 1
        )
        return (main, wal) if is_same else None

    def _require_folder(self) -> None:
        if self._given.is_symlink():
            raise self._unusable("it is a link to a file that is not there; mend or remove the link")
        folder = self.path.parent
        if not folder.is_dir():
            raise self._unusable(f"the folder {folder} does not exist; create it first")

    def _create(self) -> None:
        """An empty file with mode 0600, and its name on disk: stories are private, and SQLite would take 0644."""
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return  # Another process was faster.
        except OSError as error:
            raise self._unusable(f"it cannot be created ({error.strerror}); check the folder's permissions") from error
        os.close(descriptor)
        self.sync_names()

    def sync_names(self) -> None:
        """Puts the names of the files on disk: without its name, what was synced of a file is gone after a power cut.

        SQLite does so for the WAL at its first sync, but goes on when that fails.

        Raises:
            DatabaseUnavailableError: when the folder could not be synced.
        """
        try:
            sync_folder(self.path.parent)
        except OSError as error:
            raise translated_system_error(error, str(self._given)) from error

    @staticmethod
    def _identify(path: Path | str) -> tuple[int, int]:
        status = os.stat(path)
        return status.st_dev, status.st_ino

    def _unusable(self, what: str) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(f"{self._given}: {what}")


def look_through(connection: sqlite3.Connection, path: Path) -> Look:
    """What the database holds that `connection` has open; it is in a read transaction then. Raises as `look` does."""
    connection.execute("BEGIN")
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables and application_id in {0, APPLICATION_ID}:
        return Look(is_empty=True, revision=None)
    if application_id != APPLICATION_ID or "alembic_version" not in tables:
        raise DatabaseUnavailableError(
            f"{path}: it is another application's database, and was left as it is; give another path"
        )
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    look = Look(is_empty=row is None, revision=row and row[0])
    if look.revision == SCHEMA_REVISION:
        _require_columns(connection, path)
    return look


def _require_columns(connection: sqlite3.Connection, path: Path) -> None:
    for table, expected in EXPECTED_COLUMNS.items():
        found = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        if found != expected:
            raise SchemaError(
                f"{path}: table {table} says it is revision {SCHEMA_REVISION} but has other columns "
                f"({', '.join(sorted(found ^ expected))}); restore a backup or give another path",
                found=SCHEMA_REVISION,
                expected=SCHEMA_REVISION,
            )


def _can_be_encoded(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Puts a folder's names on disk: SQLite does so for the files it makes itself, not for ours."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
