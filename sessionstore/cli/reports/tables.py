"""Reports for people: figures with units, and as many columns as there is room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from sessionstore.cli.output import console, readable, say
from sessionstore.cli.reports.highlights import bars, sparklines, with_empty_classes
from sessionstore.cli.reports.kinds import KINDS, typed
from sessionstore.cli.reports.readable import amount, duration, share
from sessionstore.models import Report

BETWEEN_COLUMNS = 2
# A message is folded, but to no less than this.
MESSAGE, MESSAGE_WIDTH = "error_message", 24
# On a narrow terminal the first of these go first; what is not listed stays.
LEAST_IMPORTANT = (
    *("wanted_scene_count", "gone_at", "lease_expires_at", "first_failed_at", "started_at", "recovered_count"),
    *("retried_count", "started_count", "attempt_count", "min_ms", "total_ms", "progress_total", "progress_step"),
    *("finished_at", "queue_ms", "avg_queue_ms", "gone_reason", "cancelled_count", "updated_at", "worker"),
    *("created_count", "scene_count", "last_failed_at", MESSAGE, "avg_generation_ms", "media_type"),
)
_UNITS: dict[str, Callable[[Any], str]] = {"_ms": duration, "_micros": amount, "_ratio": share}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is shown."""

    name: str
    heading: str
    cells: Sequence[str]
    is_number: bool

    @property
    def width(self) -> int:
        """What it needs; of a message, what it needs at least."""
        widest = max(map(cell_len, self.cells), default=0)
        if self.name == MESSAGE:
            widest = min(widest, MESSAGE_WIDTH)
        return max(widest, *map(len, self.heading.split("\n")))


def print_table(report: Report) -> None:
    """The rows under a title and what stands out in them; what there was no room for is said beside the answer."""
    if not report.rows:
        say(f"Report {typed(report.name)} has no rows here.")
        return
    screen = console()
    is_ascii = screen.options.ascii_only
    if report.name == "distribution":
        report = with_empty_classes(report)
    columns = [_column(name, [row[place] for row in report.rows]) for place, name in enumerate(report.columns)]
    kept = fitting(columns, screen.width)
    left_out = [column.name for column in columns if column not in kept]
    screen.print(Text(f"{typed(report.name)}: {KINDS[report.name].answers} (UTC)", style="bold"))
    if not is_ascii:
        for line in sparklines(report, screen.width):
            screen.print(Text(line, no_wrap=True))
        if report.name == "distribution":
            kept.append(Column("", "", bars(report), is_number=False))
    screen.print()
    screen.print(_table(kept))
    if left_out:
        say(f"No room for {', '.join(left_out)}: use a wider terminal, or --format csv.")


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Those that fit beside each other: first those that hold nothing go, then the least important ones."""
    kept = list(columns)
    leaving = [column for column in columns if column.name in LEAST_IMPORTANT]
    leaving.sort(key=lambda column: (any(column.cells), LEAST_IMPORTANT.index(column.name)))
    while leaving and sum(column.width + BETWEEN_COLUMNS for column in kept) - BETWEEN_COLUMNS > width:
        kept.remove(leaving.pop(0))
    return kept


def _column(name: str, values: Sequence[Any]) -> Column:
    cells = [_shown(name, value) for value in values]
    is_number = any(isinstance(value, int | float) for value in values)
    heading = name.removesuffix("_ms").removesuffix("_micros")
    # The words of a number's name stand below each other: together they are wider than the number.
    return Column(name, heading.replace("_", "\n") if is_number else heading, cells, is_number)


def _shown(name: str, value: Any) -> str:
    """A figure with the unit that its column's name ends in; of an hour its minutes only."""
    if name == "hour_at":
        return f"{value:%Y-%m-%d %H:%M}"
    if not isinstance(value, int | float):
        return readable(value)
    for unit, in_words in _UNITS.items():
        if name.endswith(unit):
            return in_words(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            vertical="top",
            min_width=column.width,
            no_wrap=column.name != MESSAGE,
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table
