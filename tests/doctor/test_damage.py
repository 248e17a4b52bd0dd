"""Damaged pages, indexes, rows and counts: found, told apart, and mended where nothing can be lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import BaseModel

from sessionstore import GenerationRequest, SessionManager
from sessionstore.operations import checking
from tests.concurrency import scene
from tests.conftest import OpenManager
from tests.doctor.findings import found, repaired, standing
from tests.dumps import query

STORY = {"story_text": "A lamp."}


@pytest.fixture
def manager(manager: SessionManager) -> SessionManager:
    """With a session 'a' of two scenes, and a pending session 'b'."""
    manager.create_session(STORY, session_id="a")
    manager.set_session_scenes("a", [scene(1), scene(2)])
    manager.update_session_status("a", "processing")
    manager.create_session(STORY, session_id="b")
    return manager


def empty_index(database: Path, name: str) -> None:
    """Takes all entries out of an index, as a lost page would, by editing the schema that another one is read with."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (f"{sql} WHERE 0", name))
        connection.execute("PRAGMA writable_schema = RESET")
    query(database, f'REINDEX "{name}"')
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, name))
        connection.execute("PRAGMA writable_schema = RESET")


def test_an_index_that_disagrees_with_its_table_is_found_and_rebuilt(manager: SessionManager, database: Path) -> None:
    empty_index(database, "ix_sessions_created_at_session_id")
    wrong = [each for each in manager.check() if each.check == "integrity"]
    assert {each.exit_code for each in wrong} == {5}
    assert all("--repair" in str(each.remedy) for each in wrong)

    assert repaired(manager)["integrity"] == "index ix_sessions_created_at_session_id is rebuilt from its table"

    assert found(manager, "integrity").severity == "ok"
    assert {each.session_id for each in manager.list_sessions().sessions} == {"a", "b"}


def test_damaged_pages_are_an_error_and_are_left_as_they_are(
    open_manager: OpenManager, manager: SessionManager, database: Path
) -> None:
    manager.shutdown()
    ((root,),) = query(database, "SELECT rootpage FROM sqlite_schema WHERE name = 'session_tombstones'")
    ((page_bytes,),) = query(database, "PRAGMA page_size")
    with database.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    manager = open_manager()

    wrong = [each for each in manager.check() if each.check == "integrity"]

    assert {each.exit_code for each in wrong} == {5}
    assert all("restore" in str(each.remedy) for each in wrong)
    assert "integrity" not in repaired(manager)


def test_rows_without_their_session_are_found(manager: SessionManager, database: Path) -> None:
    query(database, "DELETE FROM sessions WHERE session_id = 'a'")

    finding = found(manager, "foreign_keys")

    assert (finding.exit_code, "2 rows have no session (in scenes)" in finding.message) == (5, True)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        ("UPDATE sessions SET request_data = '{' WHERE session_id = 'a'", "request_data"),
        ("UPDATE sessions SET metadata = '[]' WHERE session_id = 'a'", "metadata"),
        ("UPDATE sessions SET started_at = 'late' WHERE session_id = 'a'", "state"),
        ("UPDATE scenes SET payload = substr(payload, 2) WHERE scene_number = 2", "scenes"),
    ],
)
def test_sessions_that_cannot_be_read_are_found_and_left_alone(
    damage: str, part: str, manager: SessionManager, database: Path
) -> None:
    assert found(manager, "rows").severity == "ok"
    query(database, damage)
    before = query(database, "SELECT * FROM sessions"), query(database, "SELECT * FROM scenes")

    finding = found(manager, "rows")
    assert finding.exit_code == 5
    assert f"1 of 2 sessions are damaged: a ({part})" in finding.message

    manager.repair()
    assert before == (query(database, "SELECT * FROM sessions"), query(database, "SELECT * FROM scenes"))


class Order(BaseModel):
    """A request of somebody's own."""

    item: str


def test_sessions_of_other_models_are_no_damage(open_manager: OpenManager, manager: SessionManager) -> None:
    others = open_manager(request_model=Order)
    others.create_session({"item": "lamp"}, session_id="c")

    finding = found(manager, "rows")
    assert (finding.severity, "1 of 3 sessions do not fit" in finding.message) == ("warning", True)
    assert "c (request_data)" in finding.message
    assert "2 of 3 sessions do not fit" in found(others, "rows").message


def test_counts_that_another_program_changed_are_counted_anew(manager: SessionManager, database: Path) -> None:
    kept = query(database, "SELECT * FROM session_counts")
    for change in (
        "UPDATE session_counts SET sessions = 7 WHERE counted_by = 'status' AND value = 'failed'",
        "UPDATE session_counts SET created_ms = 5 WHERE counted_by = 'all'",
        "DELETE FROM session_counts WHERE counted_by = 'quiet'",
        "INSERT INTO session_counts VALUES ('created', '2020-01-01 00:00', 1, 0)",
    ):
        query(database, change)
        assert standing(manager, "counts") == ("error", 5), change

    assert "created 2020-01-01 00:00" in repaired(manager)["counts"]

    assert found(manager, "counts").severity == "ok"
    assert query(database, "SELECT * FROM session_counts") == kept
    manager.update_session_status("a", "completed")
    manager.remove_session("b")
    assert found(manager, "counts").severity == "ok"


def test_of_a_large_store_only_the_newest_sessions_are_read_unless_all_are_asked_for(
    manager: SessionManager, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query(database, "UPDATE session_counts SET sessions = 7 WHERE value = 'failed'")
    query(database, "UPDATE sessions SET request_data = '{' WHERE session_id = 'a'")
    monkeypatch.setattr(checking, "SMALL_STORE_BYTES", 1000)

    shallow = {each.check: each.severity for each in manager.check()}
    deep = {each.check: each.severity for each in manager.check(deep=True)}

    assert deep.keys() - shallow.keys() == {"integrity", "audit", "counts", "checksums"}
    assert (shallow["rows"], deep["rows"], deep["counts"]) == ("error", "error", "error")
    assert "--deep" in str(found(manager, "depth").remedy)


def test_a_repair_inside_a_transaction_is_refused(manager: SessionManager) -> None:
    with manager.transaction(), pytest.raises(Exception, match=r"repair\(\) was called inside a transaction"):
        manager.repair()


def test_own_fields_of_requests_are_no_damage(manager: SessionManager) -> None:
    manager.create_session(GenerationRequest.model_validate({**STORY, "shelf": 3}))

    assert found(manager, "rows").severity == "ok"
