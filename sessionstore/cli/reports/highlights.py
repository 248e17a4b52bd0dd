"""What the eye finds in a report before it reads: a line over hours or days, a bar beside a class of durations."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import groupby
from typing import Any

from sessionstore.cli.reports.sparklines import bar, evenly, sparkline
from sessionstore.duration_classes import class_ends
from sessionstore.models import Report

STEPS = {"hourly": (timedelta(hours=1), "hour"), "daily": (timedelta(days=1), "day")}
LINES = {"completed": "completed_count", "failed": "failed_count"}
# Of a line: its label, and its figures behind it.
LABEL_WIDTH, FIGURES_WIDTH = 11, 30
BAR_WIDTH = 30


def sparklines(report: Report, width: int) -> Iterator[str]:
    """A line of what completed and one of what failed, over all that the rows span; none for other reports."""
    if report.name not in STEPS:
        return
    step, unit = STEPS[report.name]
    for label, column in LINES.items():
        figures = over_time(report, column)
        spans, steps_a_span = evenly(figures, step, max(1, width - LABEL_WIDTH - FIGURES_WIDTH))
        most = f"at most {max(figures.values()):,} {'an' if unit == 'hour' else 'a'} {unit}"
        yield f"{label:<{LABEL_WIDTH}}{sparkline(spans)}  {sum(spans):,}, {most}"
    if steps_a_span > 1:
        yield f"{'':<{LABEL_WIDTH}}a column is {steps_a_span} {unit}s"


def over_time(report: Report, column: str) -> dict[datetime, int]:
    """A count by hour or day, of all media types together."""
    place = report.columns.index(column)
    figures: dict[datetime, int] = defaultdict(int)
    for row in report.rows:
        when = row[0] if isinstance(row[0], datetime) else datetime.combine(row[0], time(), UTC)
        figures[when] += row[place]
    return figures


def with_empty_classes(report: Report) -> Report:
    """A distribution in which a class that nothing lies in is a row too: a gap is to look like one."""
    rows: list[tuple[Any, ...]] = []
    for key, group in _by_measure(report):
        counts = {end: count for *_, end, count in group}
        rows += ((*key, end, counts.get(end, 0)) for end in class_ends(min(counts), max(counts)))
    return report.model_copy(update={"rows": rows})


def bars(report: Report) -> list[str]:
    """A bar for each row of a distribution, the longest for the fullest class of its media type and measure."""
    drawn: list[str] = []
    for _, group in _by_measure(report):
        counts = [row[-1] for row in group]
        drawn += (bar(count, max(counts), BAR_WIDTH) for count in counts)
    return drawn


def _by_measure(report: Report) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    for key, group in groupby(report.rows, key=lambda row: row[:2]):
        yield key, list(group)
