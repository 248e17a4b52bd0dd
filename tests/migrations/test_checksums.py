"""Revision 0006 over rows: what was there is returned, signed by its next write, and safe from the previous release."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from tests.conftest import OpenManager
from tests.dumps import dump, query
from tests.migrations.past import put_the_past


@pytest.fixture
def past(config: Config, database: Path) -> Path:
    """At 0005, with rows."""
    command.upgrade(config, "0004")
    put_the_past(database)
    command.upgrade(config, "0005")
    return database


def test_rows_from_before_are_returned_and_signed_by_their_next_write(past: Path, open_manager: OpenManager) -> None:
    manager = open_manager(max_sessions=None)
    assert query(past, "SELECT count(state_checksum), count(*) FROM sessions") == [(0, 5)]
    session_id = query(past, "SELECT session_id FROM sessions")[0][0]
    assert manager.get_session(session_id) is not None
    assert manager.update_session_progress(session_id, 1, 2, "on")
    assert query(past, "SELECT session_id FROM sessions WHERE state_checksum IS NOT NULL") == [(session_id,)]


def test_every_event_has_its_hour_and_the_way_back_has_the_rows(past: Path, config: Config) -> None:
    before = dump(past)
    command.upgrade(config, "head")
    wrong = "SELECT count(*) FROM session_events WHERE hour_at <> substr(occurred_at, 1, 13) || ':00:00.000'"
    assert query(past, wrong) == [(0,)]
    assert query(past, "SELECT count(*) FROM session_events")[0][0] > 0
    command.downgrade(config, "0005")
    after = dump(past)
    events = [[row[:7] for row in tables.pop("session_events")] for tables in (before, after)]
    assert events[0] == events[1]
    del before["alembic_version"], after["alembic_version"]
    assert after == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sessions SET version = version + 1, progress_step = 0",
        "UPDATE sessions SET last_accessed = '2030-01-01 00:00:00.000'",
    ],
)
def test_a_process_that_knows_of_no_checksums_is_refused_to_change_what_is_signed(
    open_manager: OpenManager, database: Path, statement: str
) -> None:
    manager = open_manager()
    session_id = manager.create_session({"story_text": "A lamp."})
    with pytest.raises(sqlite3.IntegrityError, match="the schema is ahead of this release"):
        query(database, statement)
    assert manager.get_session(session_id) is not None
