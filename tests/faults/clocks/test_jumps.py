"""Whatever the clock is set to: nothing is deleted for it, work is done once, and nothing waits for ever."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.concurrency import ask, manager_on, wait_until
from tests.faults.clocks.processes import ClockedWorker, SystemClock, build_clock
from tests.faults.tally import Extent, Tally
from tests.tracking.foreign import move_to_another_machine, status_of

JUMPS, LONG_JUMPS = 10, 500
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)


@pytest.fixture
def clock(tmp_path: Path) -> SystemClock:
    """The system's, as all processes of a test that are started with it see it."""
    return SystemClock(tmp_path, build_clock(tmp_path))


def drawn(chance: random.Random) -> datetime:
    """Any time there is; every third time the right one again, and now and then what a correction amounts to."""
    match chance.randrange(6):
        case 0 | 1:
            return datetime.now(UTC)
        case 2:
            return datetime.now(UTC) + timedelta(hours=chance.uniform(-48, 48))
    return EARLIEST + chance.random() * (LATEST - EARLIEST)


@pytest.fixture
def backend(database: Path, clock: SystemClock) -> Iterator[list[ClockedWorker]]:
    """Two processes of one machine."""
    manager_on(database).shutdown()
    with ExitStack() as stack:
        workers = [stack.enter_context(ClockedWorker("obey", clock, database, "defended")) for _ in range(2)]
        for worker in workers:
            worker.expect("ready")
        yield workers


def test_the_clock_of_a_process_can_be_set(clock: SystemClock, backend: list[ClockedWorker]) -> None:
    years = []
    for year in (1970, 2100, 2031):
        clock.set(datetime(year, 6, 1, tzinfo=UTC))
        years += [worker.ask("year") for worker in backend]
    assert years == ["1970", "1970", "2100", "2100", "2031", "2031"]


def is_pending_soon(database: Path, session_id: str) -> bool:
    """Looks a hundred times a second: it takes a second or two each time."""
    time.sleep(0.01)
    return status_of(database, session_id) == "pending"


@pytest.mark.timeout(3600)
def test_no_jump_of_the_clock_deletes_a_session_doubles_its_work_or_keeps_it_waiting(
    database: Path,
    clock: SystemClock,
    backend: list[ClockedWorker],
    extent: Extent,
    chance: random.Random,
    tally: Tally,
) -> None:
    jumps = extent(JUMPS, LONG_JUMPS)
    keeper, other = backend
    for number in range(jumps):
        held, dead = f"held{number}", f"dead{number}"
        for name in (f"kept{number}", held, dead):
            assert keeper.ask(f"create {name}") == name
        assert keeper.ask(f"hold {held}") == "held"
        assert other.ask(f"abandon {dead}") == "abandoned"
        move_to_another_machine(database, dead)

        clock.set(drawn(chance))
        assert [worker.ask("clean") for worker in backend] == ["True", "True"]
        wait_until(partial(is_pending_soon, database, dead), "the dead one to be found")
        assert keeper.ask("complete") == "completed"
        assert int(other.ask("generate")) == 2
    gone = ask(database, "SELECT session_id FROM session_tombstones")
    finishes = ask(database, "SELECT session_id, count(*) FROM session_events WHERE status = 'completed' GROUP BY 1")
    scenes = ask(database, "SELECT session_id, count(*) FROM scenes WHERE session_id NOT LIKE 'held%' GROUP BY 1")
    tally(
        "clock jumps",
        f"{jumps} jumps",
        f"{len(gone)} of {3 * jumps} sessions deleted, {len(finishes)} finished, each once",
    )
    assert gone == []
    assert sorted(finishes) == sorted(
        (f"{kind}{number}", 1) for kind in ("kept", "held", "dead") for number in range(jumps)
    )
    assert {count for _, count in scenes} == {5}


@pytest.mark.parametrize("defence", ["defended", "undefended"])
def test_control_what_a_cleanup_in_the_year_2100_does_to_a_session_of_now(
    database: Path, clock: SystemClock, defence: str
) -> None:
    with ClockedWorker("obey", clock, database, defence) as worker:
        worker.expect("ready")
        worker.ask("create young")
        clock.set(LATEST)
        assert worker.ask("clean") == "True"
        there = ask(database, "SELECT session_id FROM sessions")
    assert there == ([("young",)] if defence == "defended" else [])
