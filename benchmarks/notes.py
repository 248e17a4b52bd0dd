"""What is noted of the calls: how long each took, and which were refused."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter_ns
from typing import NamedTuple, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

WRITE_KINDS = ("create", "status", "progress", "scene")
KINDS = (*WRITE_KINDS, "read")


class Acknowledged(NamedTuple):
    """What a store said is saved of one session; `status` and `step` are None where nobody can know them."""

    session_id: str
    status: str | None
    step: int | None
    scenes: list[int]


@dataclass(frozen=True, slots=True)
class Times:
    """How long calls of one kind took, in microseconds."""

    p50: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Self:
        """Each is a time that was measured: nothing is interpolated."""
        ordered = sorted(nanoseconds)
        return cls(*(ordered[ceil(share * len(ordered)) - 1] / 1000 for share in (0.5, 0.99, 1)))


@dataclass(slots=True)
class Notes:
    """What one worker noted: nanoseconds of each call by kind, and calls that raised."""

    nanoseconds: "dict[str, array[int]]" = field(default_factory=lambda: {kind: array("q") for kind in KINDS})
    refused: int = 0
    first_refusal: str | None = None

    def timed(self, kind: str, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The result of the call; the time counts even when it raises, for its caller has waited as well."""
        start = perf_counter_ns()
        try:
            return call(*arguments, **named)
        finally:
            self.nanoseconds[kind].append(perf_counter_ns() - start)

    def refuse(self, error: Exception) -> None:
        self.refused += 1
        if self.first_refusal is None:
            self.first_refusal = f"{type(error).__name__}: {error}"[:200]

    def add(self, other: "Notes") -> None:
        """Takes over what another worker noted."""
        for kind, nanoseconds in other.nanoseconds.items():
            self.nanoseconds[kind].extend(nanoseconds)
        self.refused += other.refused
        self.first_refusal = self.first_refusal or other.first_refusal

    def times(self) -> dict[str, Times]:
        """By kind, and as "write" for all kinds of writes together; without the kinds that never happened."""
        writes = array("q", (each for kind in WRITE_KINDS for each in self.nanoseconds[kind]))
        all_kinds = self.nanoseconds | {"write": writes}
        return {kind: Times.of(nanoseconds) for kind, nanoseconds in all_kinds.items() if nanoseconds}


def merged(notes: Iterable[Notes]) -> Notes:
    """The notes of several workers as those of one."""
    total = Notes()
    for each in notes:
        total.add(each)
    return total
