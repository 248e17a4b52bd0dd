"""How large the WAL is, who has the database open, and who keeps it from starting over."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite.doctor.wal import LARGE_WAL_BYTES
from tests.concurrency import manager_on
from tests.doctor.findings import found, repaired
from tests.workers import Worker, say, wait_for_go

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lists locks")


class Reader(Worker):
    """Another process that has the database open, and reads from one snapshot when it is told to."""

    module = "tests.doctor.test_wal"


def read(database: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("SELECT count(*) FROM sessions").fetchone()
        say(f"open {os.getpid()}")
        wait_for_go()
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sessions").fetchone()
        say("reading")
        wait_for_go()
        connection.execute("COMMIT")
        say("done")
        wait_for_go()


@pytest.fixture
def store(database: Path) -> Iterator[SessionManager]:
    with manager_on(database, durability="normal") as manager:
        manager.create_session({"story_text": "A lamp."})
        yield manager


def write_a_megabyte(manager: SessionManager) -> None:
    manager.create_session({"story_text": "A lamp."}, metadata={"notes": "A lamp. " * 125_000})


def grow_wal(manager: SessionManager, database: Path) -> None:
    while Path(f"{database}-wal").stat().st_size <= LARGE_WAL_BYTES:
        write_a_megabyte(manager)


def test_every_process_that_has_the_database_open_is_named(store: SessionManager, database: Path) -> None:
    assert found(store, "wal").message.endswith("open in this process")

    with Reader("read", database) as reader:
        pid = reader.line().removeprefix("open ")

        assert f"{pid} (python" in found(store, "wal").message


def test_a_wal_that_an_old_reader_keeps_growing_names_that_reader(store: SessionManager, database: Path) -> None:
    with Reader("read", database) as reader:
        pid = reader.line().removeprefix("open ")
        reader.go()
        reader.expect("reading")
        grow_wal(store, database)

        finding = found(store, "wal")
        assert (finding.severity, finding.exit_code) == ("warning", 0)
        assert f"an old state is read by {pid} (python" in finding.message
        assert "wal" not in repaired(store)

        reader.go()
        reader.expect("done")
        finding = found(store, "wal")
        assert "old state" not in finding.message
        assert "--repair" in str(finding.remedy)

        assert "cut back" in repaired(store)["wal"]
        assert found(store, "wal").severity == "ok"


def test_control_a_wal_that_nobody_holds_up_stays_small(store: SessionManager, database: Path) -> None:
    for _ in range(80):
        write_a_megabyte(store)

    assert found(store, "wal").severity == "ok"


if __name__ == "__main__":
    read(sys.argv[2])
