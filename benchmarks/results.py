"""What a benchmark found: what `--json` keeps, and tables, figures and the picture show."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from pydantic import TypeAdapter

from benchmarks.contestants import BASELINE
from benchmarks.notes import Times
from benchmarks.ratios import to_neighbours


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run of one contestant.

    `count` is of generations, or of writes or reads, as its heat says; `rate` that in a second, `cpu_ms` for each.
    A loss is an acknowledged write that was not there afterwards; a refusal is a call that raised.
    """

    contestant: str
    count: int
    rate: float
    cpu_ms: float
    bytes_a_session: float
    fdatasync_us: float
    times: dict[str, Times]
    lost: int
    first_loss: str | None
    refused: int
    first_refusal: str | None

    def worst_write_us(self) -> float:
        return self.times["write"].maximum if "write" in self.times else 0.0

    def read_p50_us(self) -> float:
        return self.times["read"].p50 if "read" in self.times else 0.0


@dataclass(slots=True)
class Heat:
    """Runs of one workload at one durability with the same workers, in the order of time.

    `filled_sessions` were in each store before, but for a contestant that says it is empty.
    """

    workload: str
    durability: str
    workers: str
    filled_sessions: int = 0
    runs: list[Run] = field(default_factory=list)

    def key(self) -> tuple[str, str, str, int]:
        return self.workload, self.durability, self.workers, self.filled_sessions

    def contestants(self) -> list[str]:
        """Each once, in the order of their first runs."""
        return list(dict.fromkeys(run.contestant for run in self.runs))

    def of(self, contestant: str) -> list[Run]:
        return [run for run in self.runs if run.contestant == contestant]

    def ratios(
        self,
        contestant: str,
        value: Callable[[Run], float] = lambda run: run.rate,
        reference: str = BASELINE.name,
    ) -> list[float]:
        """For each round the contestant's value, by that of the reference's runs just before and after."""
        return to_neighbours(
            self.runs, lambda run: run.contestant == contestant, lambda run: run.contestant == reference, value
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one process that keeps generating."""

    generations: tuple[int, int]
    resident_bytes: tuple[int, int]

    def growth(self) -> float:
        return self.resident_bytes[1] / self.resident_bytes[0]


@dataclass(frozen=True, slots=True)
class Claims:
    """Seconds that eight workers took for `claims` claims with few and with many pending sessions, round by round."""

    pending: tuple[int, int]
    claims: int
    seconds: list[tuple[float, float]]

    def ratios(self) -> list[float]:
        return [many / few for few, many in self.seconds]


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls of one method took, on the filled store."""

    call: str
    calls: int
    p50_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What deleting expired sessions did to a thread that wrote meanwhile, and to the file."""

    deleted: int
    seconds: float
    writes: Times
    bytes_before: int
    bytes_after: int
    lost: int
    first_loss: str | None
    refused: int


@dataclass(frozen=True, slots=True)
class ReportCost:
    """What one report took, and its rows: over one day, and over everything; a timeline is of one session only."""

    report: str
    day_rows: int
    day: Cost
    all_rows: int
    all: Cost | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How several threads wrote for some seconds: writes a second of all, and what one took."""

    rate: float
    writes: Times
    refused: int


@dataclass(frozen=True, slots=True)
class BesideReports:
    """One round of the same writers: alone, beside a thread that reports over everything, and beside a process."""

    alone: Pace
    beside_thread: Pace
    beside_process: Pace


@dataclass(slots=True)
class Reports:
    """What reports take on a store with a month of history, and what they take from those who write."""

    sessions: int
    filling_seconds: float
    costs: list[ReportCost]
    rounds: list[BesideReports]

    def costs_ms(self, window: Literal["day", "all"]) -> dict[str, float]:
        """The p50 of each report, with those in plain SQL."""
        return {each.report: cost.p50_ms for each in self.costs if (cost := getattr(each, window)) is not None}

    def ratios(self, name: str, value: Callable[[Pace], float]) -> list[float]:
        """For each round the value of the writers that a field of the round names, to that of them alone."""
        return [value(getattr(each, name)) / value(each.alone) for each in self.rounds]

    def beside_ms(self, microseconds: Callable[[Pace], float]) -> float:
        """The median over the rounds, beside a thread or beside a process: where it is more."""
        threads, processes = zip(*((each.beside_thread, each.beside_process) for each in self.rounds), strict=True)
        return max(median(microseconds(pace) for pace in paces) for paces in (threads, processes)) / 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure to reach; `is_met` is None where it was not measured, and `found` then says how to measure it."""

    measure: str
    target: str
    found: str
    is_met: bool | None


@dataclass(slots=True)
class Results:
    """Everything, in the order in which it was measured."""

    started_at: str
    machine: dict[str, str]
    options: dict[str, Any]
    heats: list[Heat] = field(default_factory=list)
    memory: Memory | None = None
    claims: Claims | None = None
    filled_sessions: int = 0
    costs: list[Cost] = field(default_factory=list)
    cleanup: Cleanup | None = None
    reports: Reports | None = None
    figures: list[Figure] = field(default_factory=list)

    def heat(self, workload: str, durability: str, workers: str) -> Heat | None:
        """The one on stores that were not filled first; None when there was none."""
        return next((heat for heat in self.heats if heat.key() == (workload, durability, workers, 0)), None)


RESULTS = TypeAdapter(Results)
