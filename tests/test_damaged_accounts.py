"""What other programs and other releases leave in the tables: refused, or found and told."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.conftest import OpenManager
from tests.dumps import query

STORY = {"story_text": "A lamp."}
# As the release before wrote them.
OLD_EVENT = (
    "INSERT INTO session_events (session_id, event_type, status, scene_number, attempt, occurred_at) "
    "VALUES ('a', 'scene_added', 'processing', 1, 0, '2026-01-01 12:00:00.000')"
)


def findings(manager: SessionManager) -> dict[str, str]:
    return {each.check: each.severity for each in manager.check()}


def test_a_process_of_the_release_before_cannot_leave_events_that_no_report_would_count(
    manager: SessionManager, database: Path
) -> None:
    manager.create_session(STORY, session_id="a")
    with pytest.raises(sqlite3.IntegrityError, match="hour_at"):
        query(database, OLD_EVENT)
    assert "error" not in findings(manager).values()


def test_events_that_are_not_summed_up_cannot_be_deleted(open_manager: OpenManager, database: Path) -> None:
    manager = open_manager(summary_interval=None)
    manager.create_session(STORY)
    with pytest.raises(sqlite3.IntegrityError, match="no report yet"):
        query(database, "DELETE FROM session_events")
    assert manager.report("hourly").rows[0][2] == 1


def test_a_creation_that_is_no_date_is_a_day_that_does_not_add_up(manager: SessionManager, database: Path) -> None:
    manager.create_session(STORY, session_id="gone")
    manager.remove_session("gone")
    query(database, "UPDATE session_tombstones SET created_at = 'garbage'")
    found = {each.check: each for each in manager.check()}
    assert found["audit"].severity == "error"
    assert "2 days do not add up" in found["audit"].message
    with pytest.raises(DatabaseUnavailableError, match=r"report_sessions.*sessionstore check"):
        manager.report("sessions")


def test_a_session_that_vanished_without_a_tombstone_is_found(manager: SessionManager, database: Path) -> None:
    manager.create_session(STORY)
    query(database, "DELETE FROM sessions")
    assert findings(manager)["audit"] == "error"


def test_counts_that_another_program_changed_are_found(manager: SessionManager, database: Path) -> None:
    manager.create_session(STORY)
    query(database, "UPDATE session_counts SET sessions = 7 WHERE counted_by = 'status' AND value = 'failed'")
    query(database, "UPDATE sessions SET scenes_done = 3")
    found = [each for each in manager.check() if each.check == "counts"]
    assert [each.severity for each in found] == ["error", "error"]
    assert "failed" in found[0].message
    assert "scenes_done is wrong for 1" in found[1].message


def test_what_cannot_be_read_is_a_finding_and_the_others_are_still_told(
    open_manager: OpenManager, database: Path
) -> None:
    manager = open_manager()
    manager.create_session(STORY, session_id="gone")
    manager.remove_session("gone")
    manager.shutdown()
    with closing(sqlite3.connect(database)) as connection:
        roots = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'session_tombstones'"
        ).fetchall()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    with database.open("r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * page_size)
            file.write(b"\xff" * page_size)

    found = findings(open_manager())

    assert found["schema_revision"] == "ok"
    assert {found["integrity"], found["audit"]} == {"error"}
    with pytest.raises(DatabaseUnavailableError):
        open_manager().report("durations")


def test_an_event_of_a_clock_that_was_ahead_keeps_no_older_one_from_being_pruned(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    manager = open_manager(event_retention_days=1, cleanup_batch_sessions=10, session_max_age_hours=10_000)
    for number in range(30):
        clock.advance(days=300 if number == 5 else 0)
        manager.create_session(STORY)
        clock.advance(days=-300 if number == 5 else 0)
    clock.advance(days=2)
    manager.create_session(STORY, session_id="newest")

    assert wait_for_cleanup(manager)

    assert query(database, "SELECT session_id FROM session_events") == [("newest",)]


def test_a_timeline_that_begins_before_the_first_event_there_is_needs_no_look_at_all_of_them(
    open_manager: OpenManager, clock: ManualClock
) -> None:
    manager = open_manager(event_retention_days=1, session_max_age_hours=10_000)
    manager.create_session(STORY, session_id="old")
    clock.advance(days=2)
    manager.update_session_status("old", "processing")
    manager.create_session(STORY, session_id="new")
    assert wait_for_cleanup(manager)
    clock.advance(hours=1)
    manager.update_session_status("old", "completed")

    rows = manager.report("timeline", session_id="old").rows

    assert [row[0] for row in rows] == ["processing", "completed"]
    assert rows[0][3] - rows[0][2] == timedelta(hours=1)
