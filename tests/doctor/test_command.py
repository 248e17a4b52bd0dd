"""`sessionstore check`, as people and their scripts meet it."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionManager
from tests.dumps import query
from tests.test_cli import on_a_terminal, sessionstore


@pytest.fixture
def folder(tmp_path: Path, manager: SessionManager) -> Path:
    """With ./sessions.db of one session in it."""
    manager.create_session({"story_text": "A lamp."}, session_id="a")
    manager.shutdown()
    return tmp_path


def check(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the findings by their names, and what was said beside them."""
    done = sessionstore("check", "--json", "-d", "sessions.db", *options, folder=folder)
    return done.returncode, {each["check"]: each for each in json.loads(done.stdout)}, done.stderr


def test_a_store_that_is_well_exits_with_zero(folder: Path) -> None:
    code, findings, said = check(folder, "--deep")

    assert (code, said) == (0, "")
    assert set(findings["rows"]) == {"check", "severity", "message", "remedy", "repaired", "exit_code"}


def test_warnings_exit_with_zero_unless_they_are_told_not_to(folder: Path) -> None:
    (folder / "sessions.db").chmod(0o644)

    assert check(folder)[0] == 0
    assert check(folder, "--strict")[0] == 1


@pytest.mark.parametrize(("revision", "remedy"), [("0004", "sessionstore migrate"), ("9999", "upgrade sessionstore")])
def test_a_schema_that_is_not_the_codes_is_a_finding_and_exits_with_four(
    revision: str, remedy: str, folder: Path
) -> None:
    query(folder / "sessions.db", "UPDATE alembic_version SET version_num = ?", revision)

    code, findings, _ = check(folder)

    assert (code, list(findings)) == (4, ["schema_revision"])
    assert remedy in findings["schema_revision"]["remedy"]
    assert revision in findings["schema_revision"]["message"]


def test_damage_exits_with_five_even_beside_lesser_errors(folder: Path) -> None:
    query(folder / "sessions.db", "DROP TRIGGER count_status")
    query(folder / "sessions.db", "UPDATE sessions SET request_data = '{'")

    code, findings, _ = check(folder)

    assert (code, findings["rows"]["exit_code"]) == (5, 5)
    assert findings["audit"]["severity"] == "ok"


def spoil_schema(database: Path) -> None:
    """All but the header of the first page, where the schema begins."""
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 200)


def spoil_header(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"\xff" * 16)


@pytest.mark.parametrize(
    ("spoil", "exit_code", "name", "message"),
    [
        (spoil_schema, 5, "integrity", "malformed"),
        (spoil_header, 1, "opening", "first page is damaged"),
        (Path.unlink, 1, "opening", "there is no database"),
    ],
)
def test_a_database_that_cannot_be_opened_is_a_finding(
    spoil: Any, exit_code: int, name: str, message: str, folder: Path
) -> None:
    spoil(folder / "sessions.db")

    code, findings, _ = check(folder)

    assert (code, list(findings)) == (exit_code, [name])
    assert message in findings[name]["message"]
    assert findings[name]["remedy"]


def test_another_applications_database_is_a_finding_and_stays_as_it_is(folder: Path) -> None:
    other = folder / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (n)")
    before = other.read_bytes()

    done = sessionstore("check", "--repair", "-d", "other.db", folder=folder)

    assert done.returncode == 1
    assert "another application's database" in done.stdout
    assert other.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_finding(folder: Path) -> None:
    folder.chmod(0o500)
    try:
        code, findings, _ = check(folder)
    finally:
        folder.chmod(0o700)

    assert (code, list(findings)) == (1, ["opening"])


def test_a_repair_says_what_it_did_and_shows_what_is_left(folder: Path) -> None:
    database = folder / "sessions.db"
    database.chmod(0o666)
    query(database, "UPDATE session_counts SET sessions = 7 WHERE value = 'failed'")
    query(database, "INSERT INTO scenes VALUES ('nobody', 1, 1, '2026-01-01', '2026-01-01', '{}', NULL)")

    code, findings, said = check(folder, "--repair")

    assert "Repaired file_mode: sessions.db: mode 0666 is 0600 now" in said
    assert "Repaired counts: session_counts is wrong for status failed: counted anew." in said
    assert (findings["counts"]["severity"], findings["file_mode"]["severity"]) == ("ok", "ok")
    assert (code, findings["foreign_keys"]["exit_code"]) == (5, 5)
    assert check(folder, "--repair")[2] == ""


def test_sessions_of_models_of_somebody_s_own_are_read_with_them(folder: Path) -> None:
    (folder / "orders.py").write_text("from pydantic import BaseModel\nclass Order(BaseModel):\n    item: str\n")
    unsigned = "metadata_checksum = NULL, request_checksum = NULL, state_checksum = NULL"
    query(folder / "sessions.db", f"""UPDATE sessions SET request_data = '{{"item": "lamp"}}', {unsigned}""")  # noqa: S608

    assert check(folder)[1]["rows"]["severity"] == "warning"
    assert check(folder, "--request-model", "orders:Order")[1]["rows"]["severity"] == "ok"


def test_a_terminal_gets_a_table(folder: Path) -> None:
    seen = on_a_terminal("check", "-d", "sessions.db", folder=folder, columns=150)

    assert "┃ check" in seen
    assert "every page and index is sound" in seen
