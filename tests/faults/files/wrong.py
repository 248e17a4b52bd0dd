"""Makes every kind of wrong file out of a closed store; each function gets its path, and changes what is there."""

import gzip
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.dumps import query

# Leaves a transaction of another application half done, as a crash does, with its journal in the given mode.
CRASHED_APPLICATION = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("PRAGMA cache_size = 1")
connection.execute("CREATE TABLE photos (content)")
connection.execute("BEGIN")
connection.executemany("INSERT INTO photos VALUES (?)", [("x" * 3000,)] * 500)
if sys.argv[2] == "wal":
    connection.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""


def a_story(path: Path) -> None:
    path.write_text("Once upon a time, this was no database at all.\n" * 100)


def one_byte(path: Path) -> None:
    path.write_bytes(b"x")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(8192))


def only_a_header(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(84))


def an_archive(path: Path) -> None:
    inner = path.with_name("inner.db")
    path.rename(inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner)


def a_compressed_store(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def an_encrypted_store(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def a_damaged_header(path: Path) -> None:
    _overwrite(path, 16, b"\0\0")


def a_damaged_schema(path: Path) -> None:
    _overwrite(path, 100, b"\xff" * 8)


def cut_within_the_header(path: Path) -> None:
    os.truncate(path, 99)


def cut_within_the_first_page(path: Path) -> None:
    os.truncate(path, 1000)


def cut_after_the_first_page(path: Path) -> None:
    os.truncate(path, 4096)


def cut_in_the_middle(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_by_a_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def somebody_elses(path: Path) -> None:
    _make_foreign(path, "CREATE TABLE photos (id INTEGER PRIMARY KEY, content BLOB)")


def somebody_elses_in_wal_mode(path: Path) -> None:
    _make_foreign(path, "PRAGMA journal_mode = WAL", "CREATE TABLE photos (content)")


def somebody_elses_in_utf_16(path: Path) -> None:
    _make_foreign(path, "PRAGMA encoding = 'UTF-16'", "CREATE TABLE photos (content)")


def somebody_elses_with_our_names(path: Path) -> None:
    _make_foreign(path, "CREATE TABLE sessions (cookie TEXT)", "CREATE TABLE scenes (curtain TEXT)")


def somebody_elses_that_alembic_migrates(path: Path) -> None:
    _make_foreign(
        path, "CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('0005')"
    )


def an_empty_one_that_is_marked_as_somebody_elses(path: Path) -> None:
    _make_foreign(path, "PRAGMA application_id = 77")


def a_newer_schema(path: Path) -> None:
    query(path, "UPDATE alembic_version SET version_num = '9999'")


def another_column(path: Path) -> None:
    query(path, "ALTER TABLE scenes ADD COLUMN mood TEXT")


def a_renamed_column(path: Path) -> None:
    query(path, "ALTER TABLE scenes RENAME COLUMN payload TO content")


def a_missing_table(path: Path) -> None:
    query(path, "DROP TABLE session_tombstones")


def marked_as_ours_with_foreign_tables(path: Path) -> None:
    _make_foreign(path, "PRAGMA application_id = 0x73657373", "CREATE TABLE photos (content)")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


def a_link_to_a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def a_second_name(path: Path) -> None:
    os.link(path, path.with_name("second.db"))


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing.db"))


def a_link_in_a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("other.db"))
    path.with_name("other.db").symlink_to(path)


def beside_another_applications_wal(path: Path) -> None:
    crashed = _crash(path, "wal")
    shutil.move(f"{crashed}-wal", f"{path}-wal")


def beside_another_applications_journal(path: Path) -> None:
    crashed = _crash(path, "delete")
    shutil.move(f"{crashed}-journal", f"{path}-journal")


NOT_A_STORE: list[Callable[[Path], None]] = [
    *(a_story, one_byte, zeros, only_a_header, an_archive, a_compressed_store, an_encrypted_store),
    *(a_damaged_header, a_damaged_schema),
    *(cut_within_the_header, cut_within_the_first_page, cut_after_the_first_page, cut_in_the_middle, cut_by_a_page),
    *(somebody_elses, somebody_elses_in_wal_mode, somebody_elses_in_utf_16, somebody_elses_with_our_names),
    *(somebody_elses_that_alembic_migrates, an_empty_one_that_is_marked_as_somebody_elses),
    *(marked_as_ours_with_foreign_tables, a_folder, a_pipe, a_socket, a_link_to_a_device, a_second_name),
    *(a_link_to_nothing, a_link_in_a_circle, beside_another_applications_wal, beside_another_applications_journal),
]
OTHER_SCHEMAS: list[Callable[[Path], None]] = [a_newer_schema, another_column, a_renamed_column, a_missing_table]


def _overwrite(path: Path, position: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(content)


def _make_foreign(path: Path, *statements: str) -> None:
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def _crash(path: Path, journal_mode: str) -> Path:
    crashed = path.with_name("crashed.db")
    done = subprocess.run([sys.executable, "-c", CRASHED_APPLICATION, crashed, journal_mode], check=False)
    assert done.returncode == -signal.SIGKILL
    return crashed
