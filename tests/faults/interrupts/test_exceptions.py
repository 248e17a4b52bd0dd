"""Exceptions that arrive in a thread from outside: by another thread, or by a signal handler."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from sessionstore.persistence.engines.sqlite.group_commit import Group, GroupCommit
from sessionstore.persistence.engines.sqlite.queue import Turn
from tests.concurrency import PATIENCE_SECONDS, Caller, manager_on, wait_until
from tests.faults.interrupts.ledger import QUIET, Ledger
from tests.faults.tally import Extent, Tally
from tests.interruption import Interruption, interrupt, unraisable_ones

pytestmark = pytest.mark.timeout(1800)

# In the middle of whatever it is doing, some writes after it began.
LONGEST_LIFE_SECONDS = 0.01
ALONE, LONG_ALONE = 12, 700
IN_A_GROUP, LONG_IN_A_GROUP = 12, 700
SIGNALS, LONG_SIGNALS = 8, 400
THREADS = 6
# Without what ends an interrupted write, the first few interruptions are noticed.
CONTROL_INTERRUPTIONS = 200


class Victims:
    """Threads that write until they are interrupted, and are replaced then."""

    def __init__(self, ledger: Ledger, chance: random.Random) -> None:
        self._ledger = ledger
        self._chance = chance
        self._callers: dict[str, Caller] = {}
        self._lives = 0

    def add(self) -> None:
        self._lives += 1
        name = f"writer{self._lives}"
        self._callers[name] = Caller(partial(self._ledger.write_for_ever, name))

    def interrupt_one(self) -> None:
        """At a moment of chance; returns once it has ended by that."""
        name = self._chance.choice(list(self._callers))
        victim = self._callers.pop(name)
        wait_until(lambda: self._ledger.counted.get(name, 0), f"{name} to write")
        time.sleep(self._chance.uniform(0, LONGEST_LIFE_SECONDS))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not victim.is_done():
            assert time.monotonic() < deadline, f"{name} was interrupted and never came back"
            # Again and again: one that arrives in a finalizer is swallowed there.
            self._ledger.note_interruption(name)
            interrupt(victim.thread)
            victim.thread.join(1)
        assert isinstance(victim.error, Interruption), victim.error

    def interrupt_all(self) -> None:
        while self._callers:
            self.interrupt_one()


def test_a_lone_writer_that_is_interrupted_leaves_no_transaction_open(
    database: Path, extent: Extent, chance: random.Random, tally: Tally
) -> None:
    count = extent(ALONE, LONG_ALONE)
    found = interrupt_lone_writers(database, chance, count)
    tally("interrupted, alone", f"{count} exceptions", f"{len(found)} times something was lost or left behind")
    assert found == []


def interrupt_lone_writers(database: Path, chance: random.Random, count: int) -> list[str]:
    """What was found after one of so many interruptions, if anything."""
    with unraisable_ones(), manager_on(database, **QUIET, lock_timeout=5) as manager:
        ledger = Ledger(database, manager)
        victims = Victims(ledger, chance)
        for _ in range(count):
            victims.add()
            victims.interrupt_one()
            if found := ledger.damage():
                return found
        return []


def test_writers_of_a_group_go_on_when_their_leader_or_one_of_them_is_interrupted(
    database: Path, extent: Extent, chance: random.Random, tally: Tally
) -> None:
    count = extent(IN_A_GROUP, LONG_IN_A_GROUP)
    with unraisable_ones(), manager_on(database, **QUIET, lock_timeout=10) as manager:
        ledger = Ledger(database, manager)
        victims = Victims(ledger, chance)
        for _ in range(THREADS):
            victims.add()
        for _ in range(count - THREADS):
            victims.interrupt_one()
            victims.add()
        victims.interrupt_all()
        found = ledger.damage()
    tally(
        "interrupted, in a group",
        f"{count} exceptions",
        ledger.summary(found),
    )
    assert found == []


@contextmanager
def raising_handlers(*signals: signal.Signals) -> Iterator[None]:
    """Each of these signals raises in the main thread, as Python itself has it for Ctrl-C."""

    def interrupt_main(number: int, frame: FrameType | None) -> None:
        raise Interruption

    with ExitStack() as stack:
        for each in signals:
            stack.callback(signal.signal, each, signal.signal(each, interrupt_main))
        yield


def test_signals_that_raise_in_a_writing_main_thread_cost_nobody_a_write(
    database: Path, extent: Extent, chance: random.Random, tally: Tally
) -> None:
    count = extent(SIGNALS, LONG_SIGNALS)
    assert threading.current_thread() is threading.main_thread()
    with ExitStack() as stack:
        swallowed: list[Any] = stack.enter_context(unraisable_ones())
        manager = stack.enter_context(manager_on(database, **QUIET, lock_timeout=10))
        ledger = Ledger(database, manager)
        others = Victims(ledger, chance)
        for _ in range(2):
            others.add()
        stack.enter_context(raising_handlers(signal.SIGINT, signal.SIGTERM))
        for number in range(count):
            swallowed.clear()
            be_signalled(ledger, chance, [signal.SIGINT, signal.SIGTERM][number % 2], swallowed)
        others.interrupt_all()
        found = ledger.damage()
    tally("SIGINT and SIGTERM", f"{count} signals", ledger.summary(found))
    assert found == []


def be_signalled(ledger: Ledger, chance: random.Random, number: signal.Signals, swallowed: list[Any]) -> None:
    """Writes until the signal arrives; when a finalizer swallowed what it raised, that is the end too."""
    seconds = chance.uniform(0, LONGEST_LIFE_SECONDS)
    timer = threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, number))
    ledger.note_interruption("main")
    try:
        timer.start()
        while not swallowed:
            ledger.write_for_ever("main")
    except Interruption:
        pass
    timer.join()


def test_control_without_what_ends_an_interrupted_write_its_transaction_stays_open(
    database: Path, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit_group(self: GroupCommit, turn: Turn) -> None:
        group = self._group = Group(turn)
        held = self._writer.begin(turn.deadline)
        self._run_works(group, held.statements)
        self._writer.commit(held, group.proof)
        self._settle()

    monkeypatch.setattr(GroupCommit, "_commit_group", commit_group)
    found = interrupt_lone_writers(database, chance, CONTROL_INTERRUPTIONS)
    assert any("is open" in each for each in found)
