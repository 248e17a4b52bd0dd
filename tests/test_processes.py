"""Several processes on one file: they see each other's writes, and nobody hears that the database is locked."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from sessionstore import SessionLockError
from tests.concurrency import Holder, ask, manager_on, request
from tests.workers import Worker

PROCESSES = 4


def test_four_processes_race_to_make_one_file_and_see_each_others_writes(database: Path) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker("meet", database, f"p{n}", 25)) for n in range(PROCESSES)]
        for report in ("ready", "written"):
            for worker in workers:
                worker.expect(report)
            for worker in workers:
                worker.go()
        reports = [worker.rest() for worker in workers]
    assert reports == [["101 sessions, counter 100"]] * PROCESSES
    assert ask(database, "SELECT version_num FROM alembic_version") == [("0006",)]
    assert ask(database, "SELECT count(*) FROM scenes") == [(100,)]
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]


def test_processes_that_open_and_close_all_the_time_never_fail(database: Path) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker("churn", database, f"p{n}", 40)) for n in range(PROCESSES)]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.go()
        assert [worker.rest() for worker in workers] == [["done"]] * PROCESSES
    assert ask(database, "SELECT count(*) FROM sessions") == [(40 * PROCESSES,)]


def test_no_process_starves_beside_others_that_write_all_the_time(database: Path) -> None:
    manager_on(database).shutdown()
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker("compete", database, f"p{n}", 1.5)) for n in range(PROCESSES)]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.go()
        counts = [int(worker.rest()[0]) for worker in workers]
    assert min(counts) > max(counts) / 5
    scenes = ask(database, "SELECT session_id, count(*) FROM scenes GROUP BY session_id ORDER BY 1")
    assert [count for _, count in scenes] == [count - count // 10 for count in counts]


def test_opening_a_database_does_not_wait_for_somebody_elses_long_transaction(database: Path) -> None:
    with manager_on(database) as first:
        first.create_session(request(), session_id="a")
        with Holder(first), manager_on(database, lock_timeout=0.2) as second:
            assert second.get_session("a") is not None
            with pytest.raises(SessionLockError):
                second.create_session(request())
