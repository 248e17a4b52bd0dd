"""Threads that die in the middle, processes that end with threads at work, and shutdown while everybody writes."""

import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sessionstore import ManagerClosedError, SessionManager
from tests.concurrency import (
    Caller,
    Holder,
    all_at_once,
    ask,
    engine_of,
    manager_on,
    queue_up,
    request,
    scene,
    wait_until,
)
from tests.faults.interrupts.ledger import QUIET, Ledger
from tests.faults.interrupts.processes import LeavingWorker
from tests.faults.tally import Extent, Tally

pytestmark = pytest.mark.timeout(1800)

DEATHS, LONG_DEATHS = 1, 25
EXITS, LONG_EXITS = 2, 40
SHUTDOWNS, LONG_SHUTDOWNS = 2, 60
WRITERS = 16
LONGEST_LIFE_SECONDS = 0.3


def die(*_: object) -> None:
    sys.exit("this thread is over")


def in_a_lock(manager: SessionManager) -> None:
    manager.with_session_lock("a", die)


def in_a_block(manager: SessionManager) -> None:
    with manager.transaction():
        manager.update_session_progress("a", 1, 2, "half")
        die()


def in_a_write_for_others(manager: SessionManager) -> None:
    """Its thread leads, and has taken in hand who queued behind it."""
    engine_of(manager).write(die)


def in_a_read(manager: SessionManager) -> None:
    engine_of(manager).read(die)


@pytest.mark.parametrize("death", [in_a_lock, in_a_block, in_a_write_for_others, in_a_read])
def test_a_thread_that_dies_inside_a_call_holds_up_nobody(
    database: Path, death: Callable[[SessionManager], None], extent: Extent, tally: Tally
) -> None:
    count = extent(DEATHS, LONG_DEATHS)
    with manager_on(database, **QUIET, lock_timeout=5) as manager:
        manager.create_session(request(), session_id="a")
        for number in range(count):
            with Holder(manager):
                dying = Caller(partial(death, manager))
                if death is not in_a_read:
                    wait_until(lambda: engine_of(manager)._queue._waiting, "it to queue")
                behind = queue_up(manager, *(partial(write_scene, manager, 3 * number + n) for n in range(3)))
            assert isinstance(dying.join().error, SystemExit)
            assert [caller.finish() for caller in behind] == [True] * 3
        found = Ledger(database, manager).damage()
        session = manager.get_session("a")
        (progress,) = ask(database, "SELECT progress_step FROM sessions")
    assert session is not None
    saved = sorted(each.scene_number for each in session.scenes)
    tally(
        f"a thread dies {death.__name__.replace('_', ' ')}",
        f"{count} deaths",
        f"{len(saved)} of {3 * count} writes behind it saved",
    )
    assert (saved, progress, found) == ([*range(3 * count)], (None,), [])


def write_scene(manager: SessionManager, number: int) -> bool:
    return manager.add_scene_to_session("a", scene(number))


def test_a_process_that_ends_while_its_daemon_threads_write_ends_well_and_loses_nothing(
    database: Path, extent: Extent, chance: random.Random, tally: Tally
) -> None:
    count, acknowledged = extent(EXITS, LONG_EXITS), 0
    for number in range(count):
        path = database.with_name(f"{number}.db")
        with LeavingWorker("leave", path, chance.uniform(0.02, LONGEST_LIFE_SECONDS)) as worker:
            told = set(worker.rest())
        acknowledged += len(told)
        there = {session_id for (session_id,) in ask(path, "SELECT session_id FROM sessions")}
        assert told <= there
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    tally("exit with daemon threads", f"{count} exits", f"{acknowledged:,} writes acknowledged, 0 lost")
    assert acknowledged > count


def test_a_shutdown_while_sixteen_threads_write_answers_everybody_and_keeps_every_acknowledged_write(
    database: Path, extent: Extent, tally: Tally
) -> None:
    count, total = extent(SHUTDOWNS, LONG_SHUTDOWNS), 0
    for number in range(count):
        total += shut_down_in_full_swing(database.with_name(f"{number}.db"))
    tally("shutdown in full swing", f"{count} shutdowns", f"{total:,} writes acknowledged, 0 lost, everybody answered")


def shut_down_in_full_swing(path: Path) -> int:
    """How many writes were acknowledged before."""
    manager = manager_on(path, durability="normal")
    acknowledged: list[str] = []

    def write(name: str) -> None:
        for number in range(1_000_000):
            session_id = manager.create_session(request(), session_id=f"{name}-{number}")
            manager.with_session_lock(session_id, lambda session: session.metadata.update(n=1))
            acknowledged.append(session_id)

    writers = [Caller(partial(write, f"w{n}")) for n in range(WRITERS)]
    wait_until(lambda: len(acknowledged) >= 100 or any(writer.is_done() for writer in writers))
    assert all_at_once([manager.shutdown] * 5) == [True] * 5
    assert [type(writer.join().error) for writer in writers] == [ManagerClosedError] * WRITERS
    there = {session_id for (session_id,) in ask(path, "SELECT session_id FROM sessions WHERE metadata <> '{}'")}
    assert len(acknowledged) >= 100
    assert set(acknowledged) <= there
    # A write that was refused is not there: at most those between creation and lock are without metadata.
    assert len(ask(path, "SELECT 1 FROM sessions")) <= len(there) + WRITERS
    return len(acknowledged)
