"""Which SQLite runs, and whether it does what it was told; the schema; the clock."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite.connections import connect
from sessionstore.persistence.engines.sqlite.doctor import damage, modes
from sessionstore.persistence.engines.sqlite.library import Library
from sessionstore.testing import ManualClock
from tests.conftest import OpenManager
from tests.doctor.findings import found, standing
from tests.dumps import query


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ((3, 40, 1), "warning"),
        ((3, 44, 6), "ok"),
        ((3, 45, 0), "warning"),
        ((3, 50, 7), "ok"),
        ((3, 51, 2), "warning"),
        ((3, 51, 3), "ok"),
        ((3, 53, 4), "ok"),
    ],
)
def test_a_library_that_loses_commits_is_a_warning_that_says_for_whom(
    version: tuple[int, int, int], severity: str
) -> None:
    (finding,) = modes.library(Library("sqlite3", version))

    assert finding.severity == severity
    if severity == "warning":
        assert "another program" in finding.message
        assert "sessionstore[sqlite]" in str(finding.remedy)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_commits_that_are_not_synced_as_they_should_be_are_an_error(durability: str, database: Path) -> None:
    sqlite3.connect(database).close()
    with closing(connect(database, durability=durability)) as connection:
        (right,) = modes.synchronous(connection, durability)
        connection.execute("PRAGMA synchronous = OFF")
        (wrong,) = modes.synchronous(connection, durability)

    assert (right.severity, wrong.severity, wrong.exit_code) == ("ok", "error", 1)


def test_a_database_that_is_not_in_wal_mode_is_an_error(database: Path) -> None:
    sqlite3.connect(database).close()
    with closing(connect(database, durability="full")) as connection:
        (wrong,) = modes.journal_mode(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        (right,) = modes.journal_mode(connection)

    assert ("delete" in wrong.message, wrong.severity, right.severity) == (True, "error", "ok")


def test_foreign_keys_that_are_off_are_an_error(database: Path) -> None:
    sqlite3.connect(database).close()
    with closing(connect(database, durability="full", foreign_keys=False)) as connection:
        (finding,) = damage.foreign_keys(connection, reads_all=False)

    assert (finding.check, finding.severity) == ("foreign_keys", "error")


@pytest.mark.parametrize(("revision", "remedy"), [("0004", "migrate"), ("9999", "upgrade sessionstore")])
def test_a_schema_that_changes_under_an_open_store_is_found(
    revision: str, remedy: str, manager: SessionManager, database: Path
) -> None:
    query(database, "UPDATE alembic_version SET version_num = ?", revision)

    finding = found(manager, "schema_revision")

    assert (finding.exit_code, remedy in str(finding.remedy)) == (4, True)


def test_what_another_program_took_from_the_schema_is_an_error(manager: SessionManager, database: Path) -> None:
    query(database, "DROP TRIGGER count_status")
    query(database, "DROP INDEX ix_sessions_status_finished_at")

    finding = found(manager, "schema_objects")

    assert finding.exit_code == 5
    assert "index ix_sessions_status_finished_at, trigger count_status" in finding.message


def test_a_foreign_trigger_is_a_warning_and_a_foreign_view_is_none(manager: SessionManager, database: Path) -> None:
    query(database, "CREATE VIEW mine AS SELECT * FROM sessions")
    assert found(manager, "schema_objects").severity == "ok"

    query(database, "CREATE TRIGGER spy AFTER INSERT ON sessions BEGIN SELECT 1; END")

    finding = found(manager, "schema_objects")
    assert (finding.severity, "spy" in finding.message) == ("warning", True)


@pytest.mark.parametrize("what", ["create", "update", "progress"])
def test_a_clock_behind_the_newest_row_is_found(what: str, open_manager: OpenManager, clock: ManualClock) -> None:
    manager = open_manager(touch_interval=3600)
    session_id = manager.create_session({"story_text": "A lamp."})
    manager.update_session_status(session_id, "processing")
    assert found(manager, "clock").severity == "ok"
    clock.advance(hours=2)
    if what == "create":
        manager.create_session({"story_text": "A lamp."})
    elif what == "update":
        manager.update_session_status(session_id, "failed", "no paint")
    else:
        manager.update_session_progress(session_id, 1, 2, "half")

    clock.advance(seconds=-55)
    assert found(manager, "clock").severity == "ok"
    clock.advance(hours=-1)

    assert standing(manager, "clock") == ("warning", 0)
    clock.advance(hours=1, minutes=1)
    assert found(manager, "clock").severity == "ok"


def test_the_clock_of_an_empty_store_is_behind_nothing(manager: SessionManager, clock: ManualClock) -> None:
    clock.advance(days=-int(timedelta(days=3650) / timedelta(days=1)))

    assert found(manager, "clock").severity == "ok"
