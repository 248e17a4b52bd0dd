"""Generations without end, with the cleanup on: memory, file, threads, descriptors and times stay what they are."""

import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.concurrency import PATIENCE_SECONDS, manager_on, request, scene
from tests.faults.soak.measure import Sample, growth, sample, summary
from tests.faults.tally import Extent, Tally

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is read from /proc")

GENERATIONS, LONG_GENERATIONS = 10_000, 1_000_000
SAMPLES = 36
# A generation every two minutes: what is kept for a day is full after 720 of them.
MINUTES_A_GENERATION = 2
KEPT = {
    "session_max_age_hours": 1,
    "completed_retention_hours": 1,
    "event_retention_days": 1,
    "tombstone_retention_days": 1,
}
# Enough of them to fill up and to leak.
CONTROL_GENERATIONS = 3_600
GENERATIONS_A_LEAK = 50
IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, where there is such a place: what is asked here has nothing to do with a disk."""
    parent = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sessionstore-soak-", dir=parent) as name:
        yield Path(name)


class Backend:
    """Makes one generation after the other: 13 writes, each acknowledged by itself, and 5 reads."""

    def __init__(self, database: Path) -> None:
        self.clock = ManualClock()
        self.database = database
        self.manager: SessionManager = manager_on(
            database, clock=self.clock, durability="normal", cleanup_interval=0.5, touch_interval=0.5, **KEPT
        )

    def generate(self) -> None:
        manager = self.manager
        session_id = manager.create_session(request())
        manager.update_session_status(session_id, "processing")
        for number in range(1, 6):
            manager.add_scene_to_session(session_id, scene(number))
            manager.update_session_progress(session_id, number, 5, "saved")
            manager.get_session(session_id)
        manager.update_session_status(session_id, "completed")
        self.clock.advance(minutes=MINUTES_A_GENERATION)

    def generate_little(self) -> None:
        """Enough of a generation for something to leak beside it."""
        self.manager.create_session(request())
        self.clock.advance(minutes=MINUTES_A_GENERATION)

    def samples(self, generations: int, generate: Callable[[], object]) -> list[Sample]:
        """Each with the cleanup just done, so that they compare."""
        taken = []
        for _ in range(SAMPLES):
            taken.append(sample(self.database, generate, generations // SAMPLES))
            assert wait_for_cleanup(self.manager, PATIENCE_SECONDS)
        return taken


@pytest.fixture
def backend(folder: Path) -> Iterator[Backend]:
    backend = Backend(folder / "sessions.db")
    yield backend
    assert backend.manager.shutdown()


@pytest.mark.timeout(4 * 3600)
def test_a_store_takes_no_more_after_many_generations_than_after_some(
    backend: Backend, extent: Extent, tally: Tally
) -> None:
    generations = extent(GENERATIONS, LONG_GENERATIONS)
    samples = backend.samples(generations, backend.generate)
    tally("soak", f"{generations:,} generations", summary(samples))
    assert growth(samples, generations * MINUTES_A_GENERATION / 60) == []
    assert backend.manager.get_session_count() < 3 * 60 / MINUTES_A_GENERATION


class Leaks:
    """What careless changes would leave behind, all at once; `clear` takes it away again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pages: list[object] = []
        self._connections: list[sqlite3.Connection] = []
        self._stop = threading.Event()

    def leak(self) -> None:
        self._pages.append(bytearray(1024 * 1024))
        connection = sqlite3.connect(self._backend.database, timeout=10, check_same_thread=False)
        self._connections.append(connection)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE IF NOT EXISTS never_pruned (content)")
        connection.execute("INSERT INTO never_pruned VALUES (zeroblob(200000))")
        connection.commit()
        threading.Thread(target=self._stop.wait).start()

    def clear(self) -> None:
        self._stop.set()
        for connection in self._connections:
            connection.close()


@pytest.mark.timeout(600)
def test_control_planted_leaks_are_found_by_the_same_measure(backend: Backend) -> None:
    leaks, hours = Leaks(backend), CONTROL_GENERATIONS * MINUTES_A_GENERATION / 60
    calls = iter(range(CONTROL_GENERATIONS))

    def generate_and_leak() -> None:
        backend.generate_little()
        if next(calls) % GENERATIONS_A_LEAK == 0:
            leaks.leak()

    try:
        grown = growth(backend.samples(CONTROL_GENERATIONS, generate_and_leak), hours)
    finally:
        leaks.clear()
    assert {each.partition(":")[0] for each in grown} >= {"memory_kib", "file_kib", "threads", "descriptors"}
