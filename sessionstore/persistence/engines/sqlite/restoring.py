"""A database from a backup: examined before it gets its name, and never where a database is, or was."""

import os
import stat
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

from sessionstore.persistence import migrations
from sessionstore.persistence.engines.base import Progress
from sessionstore.persistence.engines.sqlite.connections import HeldConnection, sqlalchemy_engine
from sessionstore.persistence.engines.sqlite.copies import copy_pages
from sessionstore.persistence.engines.sqlite.doctor.damage import orphaned, problems_of
from sessionstore.persistence.engines.sqlite.errors import translating
from sessionstore.persistence.engines.sqlite.file import DatabaseFile, look_through
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.engines.sqlite.publishing import BESIDE, publish, refused
from sessionstore.persistence.migrations import SCHEMA_REVISION
from sessionstore.persistence.soundness import damaged_rows

# So many problems are told of a backup that is refused.
MAX_PROBLEMS = 3


def restore(backup: Path, path: str, progress: Progress | None) -> None:
    """Copies the backup to `path`, where nothing is yet.

    Raises:
        DatabaseUnavailableError: when something is, or was, there; or the backup is damaged, or none.
        SchemaError: when the backup is of a newer version of the code.
    """
    target = DatabaseFile(path).path
    backup = backup.expanduser().absolute()
    _require_nothing_of_another(target)
    _require_file(backup)
    # A copy that was made with `cp` may have a part of it in a WAL, which SQLite reads. A whole backup has none, and
    # is read as a file that nobody writes to: nothing is put beside it, on a medium of whatever kind.
    is_still = not any(os.path.lexists(f"{backup}{ending}") for ending in BESIDE)
    with translating(str(backup)), closing(_connect(backup, is_still=is_still)) as source:
        _require_store(source, backup)
        publish(partial(_copy, source, backup, progress=progress, is_still=is_still), target)


def _copy(source: sqlite3.Connection, backup: Path, path: Path, *, progress: Progress | None, is_still: bool) -> None:
    before = backup.stat()
    with translating(f"{path.parent}, while restoring {backup}"):
        copy_pages(source, path, progress=progress)
    after = backup.stat()
    is_same = (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)
    if is_still and (not is_same or os.path.lexists(f"{backup}-wal")):
        raise refused(backup, "it is in use; copy a store that is in use with `sessionstore backup`, and restore that")
    with closing(_connect(path, is_still=True)) as copy:
        problems = [*problems_of(copy), *(f"rows of {table} have no session" for table in orphaned(copy))]
        # Of an older schema the columns are others; its rows are verified by `check`, once it is migrated.
        is_signed = copy.execute("SELECT version_num FROM alembic_version").fetchone()[0] == SCHEMA_REVISION
    problems += _damaged_rows(path) if is_signed and not problems else []
    if problems:
        more = f" and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        found = "; ".join(problems[:MAX_PROBLEMS]) + more
        raise refused(backup, f"it is damaged, and nothing was restored ({found}); take another backup")


def _damaged_rows(path: Path) -> list[str]:
    held = HeldConnection(sqlalchemy_engine(partial(_connect, path, is_still=True), str(path)), str(path))
    try:
        held.driver.execute("BEGIN")
        rows = islice(damaged_rows(held.statements), MAX_PROBLEMS + 1)
        return [f"{each.what} of {each.table} {each.key} does not match its checksum" for each in rows]
    finally:
        held.close()


def _require_nothing_of_another(target: Path) -> None:
    for ending in BESIDE:
        if os.path.lexists(f"{target}{ending}"):
            raise refused(
                target,
                f"{target.name}{ending} of a database that was there still lies beside it, and SQLite would take it "
                "for a part of the restored one; it may hold the last writes of the old one: move it away with what "
                "else is left of that, then restore again",
            )


def _require_file(backup: Path) -> None:
    try:
        mode = backup.stat().st_mode
    except OSError as error:
        raise refused(backup, f"the backup cannot be reached ({error.strerror}); check the path") from error
    if not stat.S_ISREG(mode):
        raise refused(backup, "it is no regular file; give the path of a backup")
    if not os.access(backup, os.R_OK):
        raise refused(backup, "it may not be read; check its permissions")


def _require_store(source: sqlite3.Connection, backup: Path) -> None:
    look = look_through(source, backup)
    source.execute("ROLLBACK")
    if look.is_empty:
        raise refused(backup, "it is empty, and no backup of a store; give another one")
    migrations.require_known(look.revision, str(backup))


def _connect(path: Path, *, is_still: bool) -> sqlite3.Connection:
    """Read-only; `is_still` promises that nobody writes to the file, so that nothing is looked for beside it."""
    options = "mode=ro&immutable=1" if is_still else "mode=ro"
    return sqlite3.connect(f"{path.as_uri()}?{options}", uri=True, timeout=10, isolation_level=None)
