"""What a store takes of its machine, sample by sample, and what of that has grown."""

import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

from sessionstore.persistence.engines.sqlite.checkpoints import WAL_GROWTH_BYTES
from sessionstore.persistence.engines.sqlite.connections import JOURNAL_SIZE_LIMIT_BYTES

KIB = 1024


@dataclass(frozen=True)
class Sample:
    """One look, after some generations. The times are the process's own, whatever else the machine does."""

    memory_kib: float
    file_kib: float
    wal_kib: float
    threads: float
    descriptors: float
    cpu_us_a_generation: float


# How much more the last third may take than the first, as a share and, because a page more is no leak, at least.
# Memory: malloc keeps what once was needed at the same moment. File: the totals of each hour stay.
# WAL: it keeps the largest size that it had, up to the limit and what is written until the next checkpoint.
ALLOWED = {
    "memory_kib": (0.05, 4 * KIB),
    "file_kib": (0.15, 512),
    "wal_kib": (0, (JOURNAL_SIZE_LIMIT_BYTES + WAL_GROWTH_BYTES) / KIB),
    "threads": (0, 0),
    "descriptors": (0, 0),
    "cpu_us_a_generation": (0.5, 200),
}


# What the rows of an hour's totals take, with their indexes.
KIB_AN_HOUR = 0.6


def sample(database: Path, generate: Callable[[], object], generations: int) -> Sample:
    """Has so many generations made, then looks."""
    began = time.process_time()
    for _ in range(generations):
        generate()
    spent = time.process_time() - began
    gc.collect()
    return Sample(
        memory_kib=_resident_kib(),
        file_kib=database.stat().st_size / KIB,
        wal_kib=Path(f"{database}-wal").stat().st_size / KIB,
        threads=threading.active_count(),
        descriptors=len(os.listdir("/proc/self/fd")),
        cpu_us_a_generation=spent / generations * 1_000_000,
    )


def growth(samples: list[Sample], hours: float) -> list[str]:
    """What grew from the first third to the last; the first half of the first is for the store to fill up.

    `hours`: how many went by for the store, whose totals it keeps.
    """
    third = len(samples) // 3
    first, last = _typical(samples[third // 2 : third]), _typical(samples[-third:])
    return [
        f"{name}: {before:,.0f} grew to {after:,.0f}"
        for name, before, after in zip(ALLOWED, first, last, strict=True)
        if after - before > _allowance(name, before, hours)
    ]


def _allowance(name: str, before: float, hours: float) -> float:
    share, least = ALLOWED[name]
    return max(share * before, least) + (hours * KIB_AN_HOUR if name == "file_kib" else 0)


def summary(samples: list[Sample]) -> str:
    """First and last third of everything."""
    third = len(samples) // 3
    first, last = _typical(samples[third // 2 : third]), _typical(samples[-third:])
    names = [field.name for field in fields(Sample)]
    return ", ".join(f"{name} {a:,.0f} -> {b:,.0f}" for name, a, b in zip(names, first, last, strict=True))


def _typical(samples: list[Sample]) -> list[float]:
    return [median(values) for values in zip(*map(astuple, samples), strict=True)]


def _resident_kib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / KIB
