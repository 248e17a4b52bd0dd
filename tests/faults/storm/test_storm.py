"""Thirty-two writers on one file beside foreign locks: no error below the timeout, no long wait, a WAL that shrinks."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from sessionstore import SessionManager
from sessionstore.persistence.engines.sqlite.checkpoints import COMMITS_BETWEEN_CHECKPOINTS, PAGE_BYTES
from sessionstore.persistence.engines.sqlite.connections import JOURNAL_SIZE_LIMIT_BYTES
from tests.concurrency import Caller, ask, engine_of, manager_on, wait_until
from tests.faults.storm.processes import StormWorker, name_of, report_of
from tests.faults.tally import Extent, Tally

PROCESSES = 8
ROUNDS, LONG_ROUNDS = 1, 45
INTRUSION_SECONDS = 3
# Each of the two foreign holders costs every writer that long, whatever the store does.
WORST_WAIT_SECONDS = 10
# Between two intrusions and after the readers have left: for thousands of writes.
GUST_SECONDS = 1.0
# Once nobody reads an old state, the next checkpoint moves everything, and the WAL starts over: until each process
# comes to its own next checkpoint, with commits of four pages.
QUIET_WAL_BYTES = PROCESSES * COMMITS_BETWEEN_CHECKPOINTS * 4 * PAGE_BYTES
# When it starts over it is cut back to the limit; some has been written behind that by the time it is looked at.
SHRUNK_WAL_BYTES = 2 * JOURNAL_SIZE_LIMIT_BYTES


class WalWatch:
    """Looks at the size of a WAL all the time, by its name: to open it would drop SQLite's locks."""

    def __init__(self, database: Path) -> None:
        self._wal = Path(f"{database}-wal")
        self._stop = Event()
        self._thread = Thread(target=self._run)
        self.largest = 0

    def __enter__(self) -> "WalWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def size(self) -> int:
        return self._wal.stat().st_size

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self.largest = max(self.largest, self.size())


@contextmanager
def reading_an_old_state(database: Path, manager: SessionManager) -> Iterator[None]:
    """One plain connection, and one unit of ours that does not end, both with a snapshot of now."""
    is_reading, leave = Event(), Event()

    def read(unit: Any) -> int:
        count: int = unit.statistics.count()
        is_reading.set()
        leave.wait()
        return count

    with closing(sqlite3.connect(database, isolation_level=None)) as plain:
        plain.execute("BEGIN")
        plain.execute("SELECT count(*) FROM sessions").fetchone()
        ours = Caller(lambda: engine_of(manager).read(read))
        wait_until(is_reading.is_set)
        yield
        leave.set()
        ours.finish()


def blow(writers: StormWorker, count: int) -> None:
    for _ in range(count):
        assert writers.line().startswith("ready")


def harvest(writers: StormWorker, database: Path, processes: int) -> list[dict[str, Any]]:
    """Ends the storm; what each process was promised and refused."""
    writers.go()
    assert writers.rest() == []
    return [json.loads(report_of(database, name_of(number)).read_text()) for number in range(processes)]


def lost(database: Path, reports: list[dict[str, Any]]) -> list[str]:
    """Acknowledged scenes that are not there."""
    there = set(ask(database, "SELECT session_id, scene_number FROM scenes"))
    promised = {
        (session_id, number)
        for report in reports
        for session_id, numbers in report["scenes"].items()
        for number in numbers
    }
    assert promised
    return sorted(map(str, promised - there))


@pytest.mark.timeout(LONG_ROUNDS * 60)
def test_no_writer_of_a_storm_fails_or_waits_long_beside_foreign_locks_and_old_readers(
    database: Path, extent: Extent, tally: Tally
) -> None:
    rounds = extent(ROUNDS, LONG_ROUNDS)
    grown, left = 0, 0
    with ExitStack() as stack:
        manager = stack.enter_context(manager_on(database))
        writers = stack.enter_context(StormWorker("write", database, PROCESSES, "ours"))
        intruder = stack.enter_context(StormWorker("intrude", database, INTRUSION_SECONDS))
        intruder.expect("ready")
        blow(writers, PROCESSES)
        for _ in range(rounds):
            with WalWatch(database) as wal:
                with reading_an_old_state(database, manager):
                    for _ in range(2):
                        time.sleep(GUST_SECONDS)
                        intruder.go()
                        intruder.expect("let go")
                    time.sleep(GUST_SECONDS)
                grown = max(grown, wal.largest)
                wait_until(lambda wal=wal: wal.size() <= SHRUNK_WAL_BYTES, "the WAL to shrink")  # type: ignore[misc]
            with WalWatch(database) as wal:
                time.sleep(GUST_SECONDS)
                left = max(left, wal.largest)
        reports = harvest(writers, database, PROCESSES)
    acknowledged = sum(report["acknowledged"] for report in reports)
    worst = max(report["worst_wait"] for report in reports)
    tally(
        "lock storm",
        f"{acknowledged:,} writes",
        f"{len(lost(database, reports))} lost, {sum(report['errors'][0] for report in reports)} errors, worst wait "
        f"{worst:.1f} s; WAL {grown / 1e6:.0f} MB beside old readers, {left / 1e6:.0f} MB once they had left",
    )
    assert [report["errors"] for report in reports] == [[0]] * PROCESSES
    assert lost(database, reports) == []
    assert worst < WORST_WAIT_SECONDS
    assert left <= QUIET_WAL_BYTES
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]


def test_control_transactions_that_begin_by_reading_fail_below_the_timeout(database: Path) -> None:
    processes = 4
    with manager_on(database) as manager, StormWorker("write", database, processes, "deferred") as writers:
        lock_timeout = manager.settings.lock_timeout
        blow(writers, processes)
        time.sleep(GUST_SECONDS)
        reports = harvest(writers, database, processes)
    errors = [error for report in reports for error in report["errors"][1:]]
    assert any("SQLITE_BUSY" in error for error in errors)
    assert max(report["failed_after"] for report in reports) < lock_timeout
