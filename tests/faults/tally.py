"""The table of faults that a run ends with: what was brought about, how often, and what was found."""

from collections.abc import Callable, Sequence
from typing import Protocol

TALLIED = "tallied"

# `extent(short, long)`: how often, or for how many seconds, in this run.
Extent = Callable[[int, int], int]


class Tally(Protocol):
    """Notes one line: the fault, its extent (`5,000 states`), and what was found (`0 acknowledged writes lost`)."""

    def __call__(self, fault: str, extent: str, found: str) -> None: ...


def lines_of(rows: Sequence[list[str]]) -> list[str]:
    """As aligned columns, in the order of the faults' names."""
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{fault:<{widths[0]}}  {extent:>{widths[1]}}  {found}" for fault, extent, found in sorted(rows)]
