"""close() on the database file, in a process that has it open, costs SQLite its locks there, and nobody a write.

Without the guard, the next process that opens and closes the database believes to be the only one, and deletes the
WAL in which the others go on to write.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

from sessionstore.persistence.engines.sqlite import guard
from sessionstore.settings import SQLITE_LIBRARY_VARIABLE
from tests.concurrency import ask
from tests.faults.races.workers import WAYS, Racer, acknowledged
from tests.faults.tally import Extent, Tally

pytestmark = pytest.mark.skipif(not guard.IS_SUPPORTED, reason="only Linux has open-file-description locks")

needs_pysqlite3 = pytest.mark.skipif(find_spec("pysqlite3") is None, reason="the extra sqlite is not installed")
ANOTHER = "another SQLite"


def lost_by(
    database: Path, ways: list[str], rounds: int, protection: str = "all", end: str = "touched"
) -> tuple[int, int]:
    """How many writes of two processes were acknowledged, and are lost, while a third opens and closes the file.

    Each of the two touches the file in one of the ways after every five writes; `end` is what both say at last.
    """
    with (
        Racer("be_careless", database, "a", protection, *ways) as a,
        Racer("be_careless", database, "b", protection, *ways) as b,
        Racer("open_and_close", database) as closer,
    ):
        closer.expect("ready")
        for _ in range(rounds):
            a.expect("touched")
            b.expect("touched")
            closer.go()
            closer.expect("closed")
            a.go()
            b.go()
        a.expect(end)
        b.expect(end)
    expected = acknowledged(database)
    found = {session_id for (session_id,) in ask(database, "SELECT session_id FROM sessions")}
    return len(expected), len(expected - found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("package", ["python", pytest.param("pysqlite3", marks=needs_pysqlite3)])
def test_whatever_touches_the_file_in_the_process_costs_no_acknowledged_write(
    package: str, database: Path, extent: Extent, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, package)
    ways = [way for way in WAYS if way != ANOTHER or find_spec("pysqlite3")]
    rounds = extent(3, 50 * len(ways))
    written, lost = lost_by(database, ways, rounds)
    tally(f"locks lost by close(), on {package}", f"{rounds} times", f"{written} writes acknowledged, {lost} lost")
    assert written == 10 * (rounds + 1)
    assert lost == 0


@pytest.mark.timeout(1800)
@needs_pysqlite3
def test_control_without_the_guard_and_the_look_at_the_files_acknowledged_writes_are_lost(
    database: Path, extent: Extent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A store on the newer library beside code on Python's, which is what the extra sqlite makes likely.
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, "pysqlite3")
    for way in list(WAYS)[: extent(1, len(WAYS))]:
        of_way = database.with_name(way) / "sessions.db"
        of_way.parent.mkdir()
        written, lost = lost_by(of_way, [way], 2, protection="none")
        assert (written, lost) == (30, 20), way


def test_control_without_the_guard_the_wal_is_deleted_and_what_is_written_into_it_is_not_acknowledged(
    database: Path,
) -> None:
    written, lost = lost_by(database, ["read"], 1, protection="look", end="refused")
    assert (written, lost) == (10, 0)
