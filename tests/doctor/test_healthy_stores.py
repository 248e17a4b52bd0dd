"""The control of all the others: on a store that is well, each question is answered so."""

import sqlite3
from pathlib import Path

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite.doctor.objects import EXPECTED
from tests.dumps import query

# What depends on the machine that the tests run on.
OF_THE_MACHINE = {"sqlite_library", "file_system", "disk_space", "file_mode"}


def test_a_store_that_is_well_has_no_finding_but_of_its_machine(manager: SessionManager) -> None:
    manager.create_session({"story_text": "A lamp."})

    findings = manager.check()

    assert {each.check for each in findings if each.severity != "ok"} <= OF_THE_MACHINE
    assert {each.exit_code for each in findings} == {0}
    assert len(findings) == len({each.check for each in findings})


def test_every_warning_and_error_says_what_to_do(manager: SessionManager) -> None:
    assert all(each.remedy for each in manager.check() if each.severity != "ok")


def test_a_repair_of_a_store_that_is_well_does_nothing(manager: SessionManager, database: Path) -> None:
    manager.create_session({"story_text": "A lamp."})
    before = query(database, "SELECT * FROM sessions"), query(database, "SELECT * FROM session_counts")

    assert [each.repaired for each in manager.repair() if each.repaired] == []

    assert before == (query(database, "SELECT * FROM sessions"), query(database, "SELECT * FROM session_counts"))


def test_the_doctor_knows_all_that_the_migrations_make(manager: SessionManager, database: Path) -> None:
    for kind, names in EXPECTED.items():
        found = query(database, "SELECT name FROM sqlite_schema WHERE type = ? AND name NOT LIKE 'sqlite%'", kind)
        assert {name for (name,) in found} == names, kind


def test_the_library_is_told_with_its_version(manager: SessionManager) -> None:
    (finding,) = [each for each in manager.check() if each.check == "sqlite_library"]

    if finding.message.startswith("SQLite " + sqlite3.sqlite_version):
        assert "sqlite3" in finding.message
    else:
        assert "pysqlite3" in finding.message
