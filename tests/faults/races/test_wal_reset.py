"""A checkpoint beside commits: SQLite 3.7.0 to 3.51.2 loses some that were acknowledged, the store does not.

The gap in it is some two hundred instructions wide: between the checkpointer's look at the header of the WAL and its
look at how much of that is copied already. What others commit in between, starting the WAL over, it takes for copied.
"""

import os
import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import count
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import pytest

from sessionstore import SessionLockError, SessionManager
from sessionstore.persistence.engines.sqlite import library
from sessionstore.settings import SQLITE_LIBRARY_VARIABLE
from tests.concurrency import ask, engine_of, manager_on, request, scene
from tests.faults.races import stepping
from tests.faults.races.workers import Racer, acknowledged
from tests.faults.tally import Extent, Tally

# The lock that every checkpoint of SQLite takes first, in the -shm file.
CHECKPOINT_LOCK = 121
STORM_SECONDS = 15
HALT_SECONDS = 0.005
# From there to the end of the gap it is some 400 instructions; how many depends on who compiled it.
INSTRUCTIONS = 1000
GAP = (150, 450)

needs_stepping = pytest.mark.skipif(stepping.why_not() is not None, reason=str(stepping.why_not()))
needs_bug = pytest.mark.skipif(
    not library.running().loses_commits, reason=f"{library.running()} does not have the bug that this looks for"
)


class Halted:
    """Two stores of this process beside one of another, which is halted in the middle of a checkpoint."""

    def __init__(self, database: Path, lock: str) -> None:
        self._database = database
        self._lock = lock
        self._numbers = count(1)
        self.acknowledged: set[int] = set()
        self.refused = 0

    def halt_at(self, instructions: Iterable[int]) -> int:
        """How many acknowledged writes are lost once it was halted at one of these after the other."""
        with (
            manager_on(self._database, durability="normal", lock_timeout=0.02) as manager,
            manager_on(self._database, durability="normal") as another,
            Racer("checkpoint", self._database, self._lock) as racer,
        ):
            self._session_id = manager.create_session(request())
            racer.expect("ready")
            for instruction in [0, 0, *instructions]:
                self._write(manager, 5)
                engine = engine_of(manager)
                engine._checkpoints.run(engine._writer.driver)
                with stepping.Traced(racer.pid) as traced:
                    racer.go()
                    traced.run_to_lock(CHECKPOINT_LOCK)
                    traced.step(instruction)
                    self._write(manager, 1)
                racer.expect("done")
                self._write(manager, 4)
                # Somebody who has the pages as they are in the file, not as they were when it wrote them.
                self._write(another, 1)
                if lost := self._lost():
                    return lost
        return 0

    def _write(self, manager: SessionManager, scenes: int) -> None:
        for _ in range(scenes):
            number = next(self._numbers)
            try:
                manager.add_scene_to_session(self._session_id, scene(number))
            except SessionLockError:
                self.refused += 1
            else:
                self.acknowledged.add(number)

    def _lost(self) -> int:
        found = {number for (number,) in ask(self._database, "SELECT scene_number FROM scenes")}
        return len(self.acknowledged - found)


@needs_stepping
@pytest.mark.timeout(1200)
def test_a_checkpoint_that_is_halted_at_any_instruction_costs_no_acknowledged_write(
    database: Path, extent: Extent, tally: Tally
) -> None:
    halted = Halted(database, "with")
    instructions = range(0, INSTRUCTIONS, extent(20, 1))
    lost = halted.halt_at(instructions)
    found = f"{len(halted.acknowledged)} writes acknowledged, {lost} lost"
    tally("checkpoint halted beside a commit", f"{len(instructions)} instructions", found)
    assert lost == 0
    # Nobody got in while it was halted.
    assert halted.refused >= len(instructions)


@needs_stepping
@needs_bug
def test_control_without_the_write_lock_a_halted_checkpoint_loses_acknowledged_writes(database: Path) -> None:
    halted = Halted(database, "without")
    assert halted.halt_at(range(200, INSTRUCTIONS, 20)) > 0
    assert halted.refused == 0


@needs_stepping
def test_a_mended_library_loses_nothing_even_without_the_write_lock(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pysqlite3", reason="the extra sqlite is not installed")
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, "pysqlite3")
    halted = Halted(database, "without")
    assert halted.halt_at(range(0, INSTRUCTIONS, 20)) == 0
    assert halted.refused == 0


class Storm:
    """Stores of four processes on one file, and a reader; one that checkpoints is halted again and again in that.

    Two write and checkpoint often, one does little but checkpoint, one opens, writes and shuts down.
    """

    def __init__(self, database: Path, lock: str) -> None:
        self._database = database
        self._lock = lock
        self.halts = 0

    def __enter__(self) -> Self:
        manager_on(self._database).shutdown()
        names = ["checkpoint_always", "write_always", "write_always", "open_and_close_always", "read_long"]
        with ExitStack() as stack:
            self._racers = [
                stack.enter_context(Racer(name, self._database, self._lock, number))
                for number, name in enumerate(names)
            ]
            for racer in self._racers:
                racer.expect("ready")
            for racer in self._racers:
                racer.go()
            self._gate = stack.enter_context(closing(sqlite3.connect(self._database, timeout=0, isolation_level=None)))
            self._gate.execute("SELECT count(*) FROM sessions").fetchone()
            # Stays open as long as the connection, which would lose its locks.
            self._index = stack.enter_context(open(f"{self._database}-shm", "rb"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def rage(self, seconds: float, chance: Random) -> None:
        end = time.monotonic() + seconds
        with stepping.Traced(self._racers[0].pid) as traced:
            while time.monotonic() < end:
                traced.run_to_lock(CHECKPOINT_LOCK)
                # Stepping takes longer than a commit. So that the gap is met, nobody may commit before it is reached.
                with suppress(sqlite3.OperationalError):
                    self._gate.execute("BEGIN IMMEDIATE")
                written, copied = self._frames()
                if written == copied:
                    traced.step(chance.randint(*GAP))
                    self.halts += 1
                if self._gate.in_transaction:
                    self._gate.execute("ROLLBACK")
                if written == copied:
                    self._give_others_time(written)

    def look(self) -> tuple[int, int]:
        """How many writes were acknowledged so far, and how many of these are lost."""
        expected = acknowledged(self._database)
        found = {session_id for (session_id,) in ask(self._database, "SELECT session_id FROM sessions")}
        return len(expected), len(expected - found)

    def nobody_failed(self) -> bool:
        return all(racer.is_alive() for racer in self._racers)

    def did_harm(self) -> bool:
        """Whether acknowledged writes are lost, or so much of them that what is left does not fit together."""
        try:
            return self.look()[1] > 0 or ask(self._database, "PRAGMA integrity_check") != [("ok",)]
        except sqlite3.DatabaseError as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_CORRUPT

    def _give_others_time(self, written: int) -> None:
        """Until somebody has committed, which nobody can while the write lock is held."""
        deadline = time.monotonic() + HALT_SECONDS
        while self._frames()[0] == written and time.monotonic() < deadline:
            time.sleep(0.0002)

    def _frames(self) -> tuple[int, int]:
        """How many there are in the WAL, and how many of them are in the file already."""
        index = os.pread(self._index.fileno(), 100, 0)
        return struct.unpack_from("I", index, 16)[0], struct.unpack_from("I", index, 96)[0]


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: a storm on a disk is a storm of waits for the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="sessionstore-", dir=memory) as folder:
        yield Path(folder)


@needs_stepping
@pytest.mark.timeout(1800)
def test_stores_of_many_processes_that_write_and_checkpoint_lose_no_acknowledged_write(
    memory_folder: Path, extent: Extent, chance: Random, tally: Tally
) -> None:
    storms, halts, written, lost = extent(1, 40), 0, 0, 0
    for number in range(storms):
        database = memory_folder / str(number) / "sessions.db"
        database.parent.mkdir()
        with Storm(database, "with") as storm:
            storm.rage(STORM_SECONDS, chance)
            assert storm.nobody_failed()
        of_storm = storm.look()
        halts, written, lost = halts + storm.halts, written + of_storm[0], lost + of_storm[1]
        assert ask(database, "PRAGMA integrity_check") == [("ok",)]
        shutil.rmtree(database.parent)
    tally(
        "checkpoints beside commits",
        f"{storms * STORM_SECONDS} s",
        f"{written} writes acknowledged, {lost} lost, {halts} checkpoints halted in the middle",
    )
    assert lost == 0
    assert written >= storms * STORM_SECONDS


@needs_stepping
@needs_bug
@pytest.mark.timeout(240)
def test_control_without_the_write_lock_such_a_storm_does_harm(memory_folder: Path, chance: Random) -> None:
    with Storm(memory_folder / "sessions.db", "without") as storm:
        # Some seconds, on a machine that is busy too.
        for _ in range(60):
            storm.rage(1, chance)
            if storm.did_harm():
                return
    pytest.fail("no acknowledged write was lost")
