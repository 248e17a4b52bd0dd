"""Heats: contestants in turn, the hand-written sqlite3 before and after each, round for round."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import cpu_count
from pathlib import Path

from benchmarks.contestants import BASELINE, STORE, Entry
from benchmarks.progress import Progress
from benchmarks.results import Heat
from benchmarks.runs import measure
from benchmarks.team import Job
from benchmarks.workers import Workers

# The store without what the others are filled with, in a heat on filled stores.
EMPTY_STORE = replace(STORE, name="sessionstore-empty", label="sessionstore, empty")


@dataclass(frozen=True, slots=True)
class Plan:
    """A heat that is to come."""

    workload: str
    durability: str
    workers: Workers
    entries: tuple[Entry, ...]
    rounds: int
    seconds: float
    filled_sessions: int = 0

    def order(self) -> Iterator[Entry]:
        """Of one round the last run of the baseline is the next one's first: it serves both its neighbours."""
        for _ in range(self.rounds):
            if self.filled_sessions:
                yield from (BASELINE, EMPTY_STORE, *self.entries)
            else:
                yield from (each for entry in self.entries for each in (BASELINE, entry))
        yield BASELINE
        if self.filled_sessions:
            yield EMPTY_STORE

    def estimated_seconds(self) -> float:
        """How long it will take, about: the workers start on as many processors as there are."""
        at_once = self.workers.processes / min(self.workers.processes, cpu_count() or 1)
        return sum(self.seconds + entry.start_seconds * (at_once + 1) for entry in self.order())


def run_heat(plan: Plan, folder: Path, progress: Progress, templates: Mapping[str, Path]) -> Heat:
    """All runs of the heat, each in a folder of its own inside `folder`.

    Contestants that have a template, a database of `filled_sessions`, begin with a copy of it.
    """
    heat = Heat(plan.workload, plan.durability, str(plan.workers), plan.filled_sessions)
    order = list(plan.order())
    for number, entry in enumerate(order, start=1):
        progress.show(f"{plan.workload}, {plan.durability}, {plan.workers}: run {number}/{len(order)}, {entry.label}")
        path = folder / "run" / "sessions.db"
        job = Job(entry, path, plan.durability, plan.workers, plan.workload, plan.seconds)
        template = templates.get(entry.name) if plan.filled_sessions else None
        filled = plan.filled_sessions if template is not None else 0
        heat.runs.append(measure(job, filled_sessions=filled, template=template))
    return heat
