"""How a contestant compares: to the runs beside its own, since only numbers of the same seconds can be divided."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over the rounds, and how far they lie apart."""

    median: float
    least: float
    most: float


def spread(values: Iterable[float]) -> Spread | None:
    """None when there are no values."""
    ordered = sorted(values)
    return Spread(median(ordered), ordered[0], ordered[-1]) if ordered else None


def to_neighbours(
    runs: Sequence[R],
    measured: Callable[[R], bool],
    reference: Callable[[R], bool],
    value: Callable[[R], float],
) -> list[float]:
    """For each measured run its value, divided by the mean of the reference run just before it and just after.

    `runs` are in the order of time. A reference run between two others serves both. At an end of the series the
    one there is serves alone; a run without any, or beside references of zero, has no ratio.
    """
    ratios = []
    for index, run in enumerate(runs):
        if not measured(run):
            continue
        before = next((each for each in reversed(runs[:index]) if reference(each)), None)
        after = next((each for each in runs[index + 1 :] if reference(each)), None)
        neighbours = [value(each) for each in (before, after) if each is not None]
        if neighbours and fmean(neighbours) > 0:
            ratios.append(value(run) / fmean(neighbours))
    return ratios
