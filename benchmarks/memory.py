"""Whether a process that keeps generating grows."""

import os
import subprocess
from pathlib import Path

from benchmarks.contestants import STORE
from benchmarks.contestants.base import Contestant
from benchmarks.generation import run_generation
from benchmarks.notes import Notes
from benchmarks.processes import run_fresh
from benchmarks.results import Memory


def measure_memory(folder: Path, generations: tuple[int, int]) -> Memory:
    """The memory of one process, durability normal, one thread, after each of two numbers of generations."""
    (resident,) = run_fresh(_generate, (folder / "memory.db", generations))
    return Memory(generations, resident)


def _generate(path: Path, generations: tuple[int, int]) -> tuple[int, int]:
    few, many = generations
    store = STORE.load()(path, "normal")
    try:
        _run(store, few)
        before = resident_bytes()
        _run(store, many - few)
        return before, resident_bytes()
    finally:
        store.close()


def _run(store: Contestant, generations: int) -> None:
    for _ in range(generations):
        # Notes of their own, dropped at once: what the benchmark keeps must not count for the store.
        notes = Notes()
        run_generation(store, notes)
        if notes.refused:
            raise RuntimeError(f"a generation was refused: {notes.first_refusal}")


def resident_bytes() -> int:
    """The resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc on macOS
        answer = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True)
        return int(answer.stdout) * 1024
