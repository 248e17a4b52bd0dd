"""Whether those who write wait for those who report: four writers alone, and beside reports over everything."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.contestants.this_store import ThisStore
from benchmarks.notes import WRITE_KINDS, merged
from benchmarks.processes import SPAWN, run_fresh
from benchmarks.reports import over_everything
from benchmarks.results import BesideReports, Pace
from benchmarks.team import PATIENCE_SECONDS
from benchmarks.writer import Writer
from sessionstore import SessionManager

WRITERS = 4
ROUNDS = 5
# Of each part of a round. 6: that all reports over a million sessions fit in.
SECONDS = 6.0


def measure_beside_reports(path: Path) -> list[BesideReports]:
    """On the store at `path`, which grows: durability full, each round alone, beside a thread, beside a process."""
    meeting = SPAWN.Barrier(2)
    rounds, _ = run_fresh(_take_part, (path, meeting, True), (path, meeting, False))
    return rounds


def _take_part(path: Path, meeting: Barrier, is_writing: bool) -> list[BesideReports]:
    """The process of the writers, which finds out, or the one that reports beside it."""
    # Who only reports must not be the one who sums up or recovers, which are writes.
    quiet: dict[str, Any] = {} if is_writing else {"summary_interval": None, "recovery_interval": None}
    store = ThisStore(path, "full", **quiet)
    try:
        if is_writing:
            return [_round(store, meeting) for _ in range(ROUNDS)]
        for _ in range(ROUNDS):
            with _together(meeting):
                _report(store.manager)
        return []
    except BaseException:
        meeting.abort()
        raise
    finally:
        store.close()


def _round(store: ThisStore, meeting: Barrier) -> BesideReports:
    alone = _write(store)
    with ThreadPoolExecutor(1) as thread:
        reporting = thread.submit(_report, store.manager)
        beside_thread = _write(store)
        reporting.result()
    with _together(meeting):
        beside_process = _write(store)
    return BesideReports(alone, beside_thread, beside_process)


@contextmanager
def _together(meeting: Barrier) -> Iterator[None]:
    """Both processes begin the block at once, and neither goes on before the other has ended it."""
    meeting.wait(PATIENCE_SECONDS)
    yield
    meeting.wait(PATIENCE_SECONDS)


def _report(manager: SessionManager) -> None:
    """One report after the other, all of everything; the one that the end finds running is finished."""
    end = perf_counter() + SECONDS
    for report in cycle(over_everything(manager)):
        if perf_counter() >= end:
            return
        report()


def _write(store: ThisStore) -> Pace:
    with ExitStack() as writers:
        begun = perf_counter()
        notes = [writers.enter_context(Writer(store)).notes for _ in range(WRITERS)]
        time.sleep(SECONDS)
    seconds = perf_counter() - begun
    total = merged(notes)
    writes = sum(len(total.nanoseconds[kind]) for kind in WRITE_KINDS)
    return Pace(writes / seconds, total.times()["write"], total.refused)
