"""Figures as blocks of text: a column for each hour or day, or a bar beside a row."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

HEIGHTS = "▁▂▃▄▅▆▇█"
LENGTHS = " ▏▎▍▌▋▊▉█"
# A moment at which nothing was counted is no low column.
NOTHING = "·"


def sparkline(figures: Sequence[int]) -> str:
    """A column for each figure, the largest as high as a line."""
    largest = max(figures, default=0)
    return "".join(HEIGHTS[math.ceil(each * len(HEIGHTS) / largest) - 1] if each else NOTHING for each in figures)


def bar(figure: int, largest: int, width: int) -> str:
    """So many characters wide for the largest, to an eighth of one; something for all but nothing."""
    eighths = math.ceil(figure * width * 8 / largest) if largest else 0
    whole, rest = divmod(eighths, 8)
    return LENGTHS[8] * whole + (LENGTHS[rest] if rest else "")


def evenly(figures: Mapping[datetime, int], step: timedelta, width: int) -> tuple[list[int], int]:
    """Sums of equal spans from the first moment to the last, at most `width`; and how many steps a span has.

    Moments that are not there count as nothing, so that a quiet night is as long as it was.
    """
    first = min(figures)
    steps = (max(figures) - first) // step + 1
    steps_a_span = math.ceil(steps / width)
    spans = [0] * math.ceil(steps / steps_a_span)
    for moment, figure in figures.items():
        spans[(moment - first) // step // steps_a_span] += figure
    return spans, steps_a_span
