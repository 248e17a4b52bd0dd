"""Looking for damaged rows past every index, and signing those that nobody has signed."""

from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.checksums import checksum_of, text_checksum
from tests.concurrency import engine_of
from tests.conftest import OpenManager
from tests.dumps import query

UNSIGN = (
    "UPDATE sessions SET state_checksum = NULL, metadata_checksum = NULL, request_checksum = NULL",
    "UPDATE scenes SET checksum = NULL",
    "UPDATE session_events SET checksum = NULL",
    "UPDATE session_tombstones SET checksum = NULL",
)


def damaged(manager: SessionManager) -> list[tuple[str, str, str]]:
    rows = engine_of(manager).read(lambda unit: list(unit.soundness.damaged_rows()))
    return [(row.table, row.key, row.what) for row in rows]


def unchecked(manager: SessionManager) -> int:
    return engine_of(manager).read(lambda unit: unit.soundness.count_unchecked())


def sign(manager: SessionManager, limit: int) -> int:
    return engine_of(manager).write(lambda unit: unit.soundness.sign_unchecked(limit))


@pytest.fixture
def manager(open_manager: OpenManager) -> SessionManager:
    """With two sessions of a scene each, and one that is gone."""
    manager = open_manager()
    for name in ("a", "b", "gone"):
        manager.create_session({"story_text": "A lamp."}, session_id=name)
        manager.add_scene_to_session(name, {"scene_number": 1, "title": "t", "description": "d", "image_prompt": "p"})
    manager.remove_session("gone")
    return manager


def test_nothing_is_damaged_or_unchecked_at_first(manager: SessionManager) -> None:
    assert (damaged(manager), unchecked(manager)) == ([], 0)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE sessions SET progress_step = 1 WHERE session_id = 'b'", ("sessions", "b", "state")),
        ("UPDATE sessions SET metadata = '{\"n\":1}' WHERE session_id = 'b'", ("sessions", "b", "metadata")),
        ("UPDATE sessions SET request_data = '{}' WHERE session_id = 'b'", ("sessions", "b", "request_data")),
        ("UPDATE sessions SET media_type = CAST(x'ff' AS TEXT) WHERE session_id = 'b'", ("sessions", "b", "state")),
        ("UPDATE scenes SET position = 3 WHERE session_id = 'b'", ("scenes", "b 1", "row")),
        ("UPDATE session_events SET attempt = 3 WHERE event_id = 2", ("session_events", "2", "row")),
        ("UPDATE session_tombstones SET error_message = 'x'", ("session_tombstones", "1", "row")),
    ],
)
def test_a_row_that_is_another_than_was_signed_is_found(
    manager: SessionManager, database: Path, statement: str, found: tuple[str, str, str]
) -> None:
    query(database, statement)

    assert damaged(manager) == [found]
    assert sign(manager, 100) == 0, "what is damaged is not signed"


def test_unsigned_rows_are_signed_a_part_at_a_time(manager: SessionManager, database: Path) -> None:
    before = query(database, "SELECT state_checksum, metadata_checksum, request_checksum FROM sessions")
    for statement in UNSIGN:
        query(database, statement)
    count = unchecked(manager)

    assert [sign(manager, count - 3), sign(manager, count), sign(manager, count)] == [count - 3, 3, 0]

    assert (damaged(manager), unchecked(manager)) == ([], 0)
    assert query(database, "SELECT state_checksum, metadata_checksum, request_checksum FROM sessions") == before


def test_a_row_that_cannot_be_read_stays_unsigned_and_holds_up_no_other(
    manager: SessionManager, database: Path
) -> None:
    for statement in UNSIGN:
        query(database, statement)
    query(database, "UPDATE sessions SET request_data = '[]' WHERE session_id = 'a'")

    while sign(manager, 2):
        pass

    assert unchecked(manager) == 1
    assert query(database, "SELECT session_id FROM sessions WHERE state_checksum IS NULL") == [("a",)]


def test_anybody_can_compute_the_checksums_that_a_store_writes(manager: SessionManager, database: Path) -> None:
    """As documented: a change of this would make every row of every store look damaged."""
    assert checksum_of(["a", 1, None, "2026-01-01 12:00:00.000"]) == 787189113
    assert checksum_of(["a", 1], '{"n":1}') == 3967964320
    (scene,) = query(database, "SELECT * FROM scenes WHERE session_id = 'a'")
    assert scene[-1] == checksum_of(scene[:5], scene[5])
    metadata, checksum = query(database, "SELECT metadata, metadata_checksum FROM sessions")[0]
    assert checksum == text_checksum(metadata)
