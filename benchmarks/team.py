"""The workers of a run, in their processes: they open one store, begin together, and note what happens."""

import resource
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter

from benchmarks.contestants import Entry
from benchmarks.contestants.base import Contestant
from benchmarks.generation import run_generation
from benchmarks.notes import Acknowledged, Notes, merged
from benchmarks.processes import SPAWN, run_fresh
from benchmarks.workers import Workers
from benchmarks.workloads import WORKLOADS, Turn

# What workers wait for each other at most: a filled store on a slow disk takes its time to open.
PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Job:
    """What the workers of one run do."""

    entry: Entry
    path: Path
    durability: str
    workers: Workers
    workload: str
    seconds: float
    session_ids: tuple[str, ...] = ()

    def open(self) -> Contestant:
        return self.entry.load()(self.path, self.durability)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process did; of each of its threads the count, and the seconds that it took."""

    paces: list[tuple[int, float]]
    cpu_seconds: float
    acknowledged: list[Acknowledged]
    notes: Notes


@dataclass(slots=True)
class Start:
    """Where the threads of a process wait for each other, and their process for the others."""

    threads: int
    processes: Barrier
    cpu_seconds: float = 0.0
    gate: threading.Barrier = field(init=False)

    def __post_init__(self) -> None:
        self.gate = threading.Barrier(self.threads, self._meet)

    def _meet(self) -> None:
        self.processes.wait(PATIENCE_SECONDS)
        self.cpu_seconds = _cpu_seconds()


def run_team(job: Job) -> list[Outcome]:
    """Does the job in fresh processes; one outcome for each."""
    barrier = SPAWN.Barrier(job.workers.processes)
    return run_fresh(_work, *((job, number, barrier) for number in range(job.workers.processes)))


def prepare(job: Job) -> list[Acknowledged]:
    """In a fresh process: makes what the workload wants to find in the store."""
    make = WORKLOADS[job.workload].prepare
    if make is None:
        return []
    (acknowledged,) = run_fresh(_prepare, (job,))
    return acknowledged


def _prepare(job: Job) -> list[Acknowledged]:
    make = WORKLOADS[job.workload].prepare
    assert make is not None
    store = job.open()
    try:
        return make(store)
    finally:
        store.close()


def _work(job: Job, number: int, barrier: Barrier) -> Outcome:
    """Process `number` of the team."""
    try:
        store = _open_in_turn(job, number, barrier)
        start = Start(job.workers.threads, barrier)
        first = number * job.workers.threads
        with ThreadPoolExecutor(job.workers.threads) as pool:
            parts = [pool.submit(_take_part, job, store, start, first + each) for each in range(job.workers.threads)]
        # Of the same time as the rate: in a short run, closing would be most of it.
        used = _cpu_seconds() - start.cpu_seconds
        outcomes = [part.result() for part in parts]
        store.close()
    except BaseException:
        barrier.abort()
        raise
    return _summed(outcomes, used)


def _open_in_turn(job: Job, number: int, barrier: Barrier) -> Contestant:
    """The first process makes the database, then the others open it: nobody is measured by that race."""
    if number > 0:
        barrier.wait(PATIENCE_SECONDS)
        return job.open()
    store = job.open()
    barrier.wait(PATIENCE_SECONDS)
    return store


def _take_part(job: Job, store: Contestant, start: Start, worker: int) -> Outcome:
    """One thread: a generation to warm up, which opens its connection and fills caches, then the workload."""
    warm_up, notes = Notes(), Notes()
    warmed_up = run_generation(store, warm_up)
    notes.add(replace(warm_up, nanoseconds={}))
    start.gate.wait(PATIENCE_SECONDS)
    began = perf_counter()
    done = WORKLOADS[job.workload].run(store, notes, Turn(began + job.seconds, worker, job.session_ids))
    pace = (done.number, perf_counter() - began)
    acknowledged = done.acknowledged if warmed_up is None else [warmed_up, *done.acknowledged]
    return Outcome([pace], 0.0, acknowledged, notes)


def _summed(outcomes: Sequence[Outcome], cpu_seconds: float) -> Outcome:
    return Outcome(
        [pace for outcome in outcomes for pace in outcome.paces],
        cpu_seconds,
        [each for outcome in outcomes for each in outcome.acknowledged],
        merged(outcome.notes for outcome in outcomes),
    )


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
