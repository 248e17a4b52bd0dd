"""Revision 0005 over rows: what was there stays, what is known of the past is reported, and the way back is open."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from sessionstore import SessionManager
from sessionstore.persistence.views import REPORTS
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.conftest import OpenManager
from tests.dumps import Row, dump, query
from tests.migrations.past import put_the_past

VIEWS = [f"report_{name}" for name in REPORTS]
# New with 0005, or Alembic's own.
NEW_TABLES = {
    *("hour_totals", "status_totals", "departure_totals", "events_summed_up"),
    *("session_totals", "provider_totals", "alembic_version"),
}

LIVING_BURIED_AND_TOTALLED = """
    SELECT day, sum(there_were) FROM (
        SELECT substr(created_at, 1, 10) AS day, count(*) AS there_were FROM sessions GROUP BY 1
        UNION ALL SELECT substr(created_at, 1, 10), count(*) FROM session_tombstones GROUP BY 1
        UNION ALL SELECT substr(day_at, 1, 10), sum(session_count) FROM session_totals GROUP BY 1
    ) GROUP BY day ORDER BY day
"""
CREATED = "SELECT day, sum(created_count) FROM report_daily GROUP BY day HAVING sum(created_count) > 0 ORDER BY day"


def rows_by_column(database: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that 0004 has too, its values by name."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        tables = sorted(dump(database).keys() - NEW_TABLES)
        return {
            table: sorted((dict(row) for row in connection.execute(f"SELECT * FROM {table}")), key=repr)  # noqa: S608
            for table in tables
        }


def answers(database: Path) -> dict[str, list[Row]]:
    """Every view, but how long a stuck session has been quiet now."""
    chosen = dict.fromkeys(VIEWS, "*") | {"report_stuck": "session_id, worker, updated_at"}
    return {view: sorted(query(database, f"SELECT {what} FROM {view}"), key=repr) for view, what in chosen.items()}  # noqa: S608


@pytest.fixture
def past(config: Config, database: Path) -> dict[str, list[dict[str, Any]]]:
    """A database that was at 0004 with rows, and is at the newest revision now; its rows from before."""
    command.upgrade(config, "0004")
    put_the_past(database)
    before = rows_by_column(database)
    command.upgrade(config, "head")
    return before


@pytest.mark.usefixtures("past")
def test_what_sessions_and_tombstones_say_of_the_past_is_reported(database: Path) -> None:
    hourly = query(
        database,
        "SELECT hour_at, media_type, created_count, started_count, completed_count, failed_count, cancelled_count, "
        "retried_count, recovered_count, scene_count, failed_ratio, avg_queue_ms, avg_generation_ms "
        "FROM report_hourly ORDER BY 1, 2",
    )
    assert hourly == [
        ("2025-12-31 23:00:00.000", None, 1, 0, 0, 1, 0, 0, 0, 0, 1.0, None, None),
        ("2025-12-31 23:00:00.000", "cartoon", 1, 0, 0, 0, 0, 0, 0, 0, None, None, None),
        ("2026-01-01 00:00:00.000", "cartoon", 0, 1, 1, 0, 0, 0, 0, 0, 0.0, 1.0, 5000.0),
        ("2026-01-01 22:00:00.000", "cartoon", 2, 0, 0, 0, 0, 0, 0, 0, None, None, None),
        ("2026-01-01 23:00:00.000", "cartoon", 1, 2, 0, 0, 0, 0, 0, 1, None, (1 + 10_000) / 2, None),
        ("2026-01-01 23:00:00.000", "realistic", 1, 0, 0, 0, 0, 0, 0, 0, None, None, None),
        ("2026-01-02 00:00:00.000", None, 1, 0, 0, 1, 0, 0, 0, 0, 1.0, None, None),
        ("2026-01-02 00:00:00.000", "cartoon", 0, 0, 1, 0, 0, 0, 1, 0, 0.0, None, 2_990_000.0),
        ("2026-01-02 00:00:00.000", "realistic", 0, 1, 0, 0, 0, 0, 0, 2, None, 3_000_000.0, None),
    ]
    found = answers(database)
    assert [row[:5] for row in found["report_sessions"]] == [
        ("ash", "failed", None, 3, 1),
        ("back", "pending", "cartoon", 3, 0),
        ("busy", "processing", "realistic", 3, 2),
        ("done", "completed", "cartoon", 3, 1),
        ("lost", "failed", None, 3, 0),
        ("new", "pending", "cartoon", 3, 0),
        ("old", "completed", "cartoon", 3, 3),
    ]
    assert found["report_departures"] == [
        ("2026-01-02 00:00:00.000", "cartoon", "removed", "completed", 1),
        ("2026-01-02 01:00:00.000", None, "expired", "failed", 1),
    ]
    assert found["report_costs"] == [
        ("2026-01-01", "studio", "USD", 1, 1, 0, 40_000),
        ("2026-01-02", "studio", "USD", 2, 0, 1, 110_000),
        ("2026-01-02", "studio", None, 1, 0, 0, 0),
    ]
    assert [row[:4] for row in found["report_failures"]] == [
        ("2025-12-31", None, "no power", 1),
        ("2026-01-02", None, "no paint", 1),
    ]
    assert found["report_status_durations"] == [], "nobody wrote down how long a status lasted"
    assert query(database, LIVING_BURIED_AND_TOTALLED) == query(database, CREATED)


def test_rows_of_the_past_are_as_they_were_with_what_can_be_known_beside_them(
    past: dict[str, list[dict[str, Any]]], database: Path
) -> None:
    now = rows_by_column(database)
    assert now.keys() == past.keys()
    for table, rows in past.items():
        kept = [{name: row[name] for name in rows[0]} for row in now[table]] if rows else now[table]
        assert sorted(kept, key=repr) == rows, table
    known = query(database, "SELECT session_id, scenes_done, status_since FROM sessions ORDER BY 1")
    assert known == [
        ("back", 0, None),
        ("busy", 2, None),
        ("done", 1, "2026-01-02 00:10:00.000"),
        ("lost", 0, "2026-01-02 00:30:00.000"),
        ("new", 0, "2026-01-01 22:30:00.000"),
    ]
    columns = [name for (name,) in query(database, "SELECT name FROM pragma_table_info('sessions')")]
    assert columns[-2:] == ["metadata", "request_data"], "the wide ones stand last"


@pytest.mark.usefixtures("past")
def test_sessions_of_the_past_go_on_are_counted_and_are_reported_once(
    open_manager: OpenManager, database: Path
) -> None:
    manager: SessionManager = open_manager(max_sessions=None, recovery_interval=None)
    created = query(database, CREATED)
    same = {"story_text": "A lamp.", "media_type": "cartoon", "num_scenes": 3}
    assert manager.get_session_count() == 5
    assert manager.cancel_session("busy")
    assert manager.retry_session("lost")
    assert manager.cancel_session("back")
    assert manager.create_session(same, idempotency_key="key-new") == "new"
    assert manager.remove_session("done")
    assert manager.get_session_count() == 4
    assert manager.get_performance_stats()["status_breakdown"] == {
        **dict.fromkeys(("processing", "downloading", "completed", "failed"), 0),
        **{"pending": 2, "cancelled": 2},
    }
    assert query(database, CREATED) == created == query(database, LIVING_BURIED_AND_TOTALLED)
    durations = manager.report("status_durations").rows
    assert [row[1:4] for row in durations] == [(None, "failed", 1)], "of the others it is not known since when"
    assert [row[-1] for row in manager.report("costs").rows] == [40_000, 0, 110_000]


def test_the_way_down_gives_the_rows_of_0004_and_up_again_the_same_reports(
    past: dict[str, list[dict[str, Any]]], config: Config, database: Path
) -> None:
    before = answers(database)
    command.downgrade(config, "0004")
    assert rows_by_column(database) == past
    assert query(database, "SELECT name FROM sqlite_schema WHERE type = 'view'") == []
    command.upgrade(config, "head")
    assert answers(database) == before


@pytest.mark.usefixtures("past")
def test_what_0005_wrote_itself_goes_down_and_up_with_every_session_reported_once(
    config: Config, database: Path, open_manager: OpenManager, clock: ManualClock
) -> None:
    clock.advance(days=3)
    manager = open_manager(max_sessions=None, event_retention_days=1, tombstone_retention_days=1)
    session_id = manager.create_session({"story_text": "A lamp."})
    manager.add_scene_to_session(session_id, {"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"})
    manager.update_session_status(session_id, "completed")
    manager.remove_session("new")
    assert wait_for_cleanup(manager)
    manager.shutdown()
    assert query(database, "SELECT sum(session_count), sum(scene_count) FROM session_totals") == [(2, 4)]
    assert query(database, CREATED) == query(database, LIVING_BURIED_AND_TOTALLED)
    sessions = answers(database)["report_sessions"]
    command.downgrade(config, "0004")
    command.upgrade(config, "head")
    assert answers(database)["report_sessions"] == sessions
    assert query(database, CREATED) == query(database, LIVING_BURIED_AND_TOTALLED)
    manager = open_manager(max_sessions=None)
    assert manager.retry_session(session_id, [1])
    assert [finding.message for finding in manager.check() if finding.severity == "error"] == []


def test_the_columns_of_each_view_are_those_that_the_code_selects_in_their_order(
    config: Config, database: Path
) -> None:
    command.upgrade(config, "head")
    found = {
        view: [name for (name,) in query(database, "SELECT name FROM pragma_table_info(?)", view)] for view in VIEWS
    }
    assert found == {f"report_{name}": list(report.table.c.keys()) for name, report in REPORTS.items()}
    there = query(database, "SELECT name FROM sqlite_schema WHERE type = 'view' AND name LIKE 'report%'")
    assert {name for (name,) in there} == set(VIEWS)
