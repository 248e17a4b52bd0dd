"""Claiming: each session goes to exactly one, in order, and who finds nothing disturbs nobody."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sessionstore import LeaseHeldError
from sessionstore.testing import ManualClock
from tests.concurrency import all_at_once, ask, manager_on, request, scene
from tests.conftest import OpenManager
from tests.tracking.foreign import Outage, lease_end, outcomes
from tests.tracking.workers import TrackingWorker

PROCESSES, THREADS, SESSIONS = 4, 4, 200


def test_sixteen_threads_of_four_processes_claim_each_of_200_sessions_once(database: Path) -> None:
    ids = [f"s{number:03}" for number in range(SESSIONS)]
    with manager_on(database) as manager, manager.transaction():
        for session_id in ids:
            manager.create_session(request(), session_id=session_id)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(TrackingWorker("compete", database, worker="w", threads=THREADS))
            for _ in range(PROCESSES)
        ]
        for worker in workers:
            worker.expect("ready")
        for worker in workers:
            worker.go()
        claimed = [json.loads(report) for worker in workers for report in worker.rest()]
    assert sorted(session_id for each in claimed for session_id in each) == ids
    assert all(claimed)
    assert ask(database, "SELECT attempt, outcome, count(*) FROM runs GROUP BY 1, 2") == [(1, "completed", SESSIONS)]
    assert ask(database, "SELECT status, attempt, count(*) FROM sessions GROUP BY 1, 2") == [("completed", 1, SESSIONS)]


def test_one_claimer_gets_the_sessions_in_the_order_of_their_creation(
    open_manager: OpenManager, clock: ManualClock
) -> None:
    manager = open_manager(max_sessions=None)
    ids = [f"s{number:02}" for number in reversed(range(20))]
    for session_id in ids:
        clock.advance(milliseconds=1)
        manager.create_session(request(), session_id=session_id)
    given_back = manager.track("s17", "w")
    given_back.release()
    claimed = [manager.claim_next_session("w") for _ in ids]
    assert [run and run.session_id for run in claimed] == ids
    assert manager.claim_next_session("w") is None


def test_two_workers_with_the_same_name_never_share_a_session(database: Path) -> None:
    with manager_on(database) as first, manager_on(database) as second:
        for session_id in ("a", "b"):
            first.create_session(request(), session_id=session_id)
        runs = all_at_once([lambda manager=manager: manager.claim_next_session("twin") for manager in (first, second)])  # type: ignore[misc]
        assert {run.session_id for run in runs} == {"a", "b"}
        for run, other in zip(runs, reversed((first, second)), strict=True):
            with pytest.raises(LeaseHeldError, match="worker 'twin'") as refused:
                other.track(run.session_id, "twin")
            assert refused.value.holder == "twin"
        before = lease_end(database, runs[1].session_id)
        runs[0].add_scene(scene(1))
        runs[0].complete()
        assert outcomes(database, runs[1].session_id) == [None]
        assert lease_end(database, runs[1].session_id) == before
        runs[1].complete()


def test_many_who_ask_for_the_same_session_by_name_get_it_once(database: Path) -> None:
    with ExitStack() as stack:
        managers = [stack.enter_context(manager_on(database)) for _ in range(4)]
        managers[0].create_session(request(), session_id="s")

        def track(number: int) -> str:
            try:
                runs.append(managers[number % 4].track("s", f"w{number}"))
            except LeaseHeldError as refused:
                return refused.holder
            return f"w{number}"

        runs: list[object] = []
        winners = all_at_once([lambda number=number: track(number) for number in range(8)])  # type: ignore[misc]
        assert len(runs) == 1
        assert len(set(winners)) == 1
    assert outcomes(database) == ["released"]


def test_who_finds_nothing_to_claim_waits_for_no_writer_and_writes_nothing(database: Path) -> None:
    with manager_on(database, lock_timeout=30) as manager:
        manager.create_session(request(), session_id="s")
        manager.cancel_session("s")
        with Outage(database):
            begun = time.monotonic()
            assert [manager.claim_next_session("w") for _ in range(20)] == [None] * 20
            assert time.monotonic() - begun < 10
    assert outcomes(database) == []
