"""How long sessions waited and were worked on: a panel for each media type, on a logarithmic axis of time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sessionstore.cli.reports.pictures.style import (
    COLOURS,
    FAINT,
    INK,
    QUIET,
    calm,
    fit,
    say_nothing_is_there,
    set_title,
    window_in_words,
)
from sessionstore.cli.reports.questions import Question
from sessionstore.cli.reports.readable import duration
from sessionstore.duration_classes import class_ends, lower_end
from sessionstore.models import Report

# From above: the measure, its heading, its colour.
MEASURES = (
    ("queue", "Queue time, from creation to start", COLOURS["downloading"]),
    ("generation", "Generation time, from start to finish", COLOURS["processing"]),
)
# With more, the picture would be taller than a screen.
MOST_MEDIA_TYPES = 6
INCHES_A_PANEL, INCHES_AROUND = 1.3, 1.3
# A logarithmic axis has no 0: what took less than a millisecond is drawn with what took one, from here.
BEFORE_A_MILLISECOND = 0.5
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
TICKS = (1, 10, 100, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 10 * DAY, 100 * DAY)
FINE_TICKS = tuple(sorted({*TICKS, 3, 30, 300, 3 * SECOND, 30 * SECOND, 3 * MINUTE, 30 * MINUTE, 2 * HOUR, 3 * DAY}))
FEWEST_TICKS = 4


@dataclass(slots=True)
class Panel:
    """One measure of one media type: how many sessions there are in each class, and what they amount to."""

    counts: dict[int, int] = field(default_factory=dict)
    session_count: int = 0
    p50_ms: int = 0
    p95_ms: int = 0


Panels = Mapping[tuple[str | None, str], Panel]


def draw(figure: Any, parts: Mapping[str, Report], asked: Question) -> None:
    """Two columns of panels, queue and generation time; the panels of a column share their axis."""
    panels = _panels(parts)
    media_types = sorted({key[0] for key in panels}, key=lambda each: (-_size(panels, each), each or ""))
    shown = media_types[:MOST_MEDIA_TYPES]
    if shown:
        figure.set_size_inches(figure.get_size_inches()[0], INCHES_A_PANEL * len(shown) + INCHES_AROUND)
    facts = ["line: median", "dashes: 95 % took at most that", window_in_words(asked)]
    if len(media_types) > len(shown):
        facts.insert(0, f"the {len(shown)} most frequent of {len(media_types)} media types")
    set_title(figure, "How long sessions took, by media type", "; ".join(facts))
    if not panels:
        say_nothing_is_there(figure, "No session started in this time.")
        return
    grid = figure.subplots(len(shown), len(MEASURES), sharex="col", squeeze=False)
    for place, (measure, heading, colour) in enumerate(MEASURES):
        column = [(grid[row][place], panels.get((each, measure), Panel()), each) for row, each in enumerate(shown)]
        _draw_column(column, colour)
        grid[-1][place].set_xlabel(f"{heading} (logarithmic)")
    for row in grid:
        row[0].set_ylabel("sessions")
    fit(figure)


def _panels(parts: Mapping[str, Report]) -> Panels:
    panels: dict[tuple[str | None, str], Panel] = defaultdict(Panel)
    for media_type, measure, up_to_ms, count in parts["distribution"].rows:
        counts = panels[media_type, measure].counts
        end = max(1, up_to_ms)
        counts[end] = counts.get(end, 0) + count
    for media_type, measure, count, _, p50_ms, p95_ms, _ in parts["durations"].rows:
        panel = panels[media_type, measure]
        panel.session_count, panel.p50_ms, panel.p95_ms = count, p50_ms, p95_ms
    return panels


def _size(panels: Panels, media_type: str | None) -> int:
    return max(panel.session_count for (each, _), panel in panels.items() if each == media_type)


def _draw_column(column: Sequence[tuple[Any, Panel, str | None]], colour: str) -> None:
    ends = sorted({end for _, panel, _ in column for end in panel.counts})
    for axes, panel, media_type in column:
        axes.set_xscale("log")
        _draw_panel(axes, panel, colour)
        axes.set_title(_in_words(panel, media_type or "no media type"), loc="left", size=9, color=INK, pad=5)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True, steps=[1, 2, 5, 10]))
        axes.grid(axis="y", color=FAINT, linewidth=0.8)
        calm(axes)
    if ends:
        _set_ticks(column[0][0], _lower(ends[0]), ends[-1])


def _draw_panel(axes: Any, panel: Panel, colour: str) -> None:
    if not panel.counts:
        axes.text(0.5, 0.4, "none yet", transform=axes.transAxes, ha="center", color=QUIET)
        return
    ends = class_ends(min(panel.counts), max(panel.counts))
    lefts = [_lower(end) for end in ends]
    widths = [end - left for end, left in zip(ends, lefts, strict=True)]
    counts = [panel.counts.get(end, 0) for end in ends]
    axes.bar(lefts, counts, widths, align="edge", color=colour, edgecolor="white", linewidth=0.8)
    for value, dashes in ((panel.p50_ms, "-"), (panel.p95_ms, (0, (3, 2)))):
        axes.axvline(max(BEFORE_A_MILLISECOND, value), color=INK, linewidth=1, linestyle=dashes)


def _lower(end: int) -> float:
    return lower_end(end) if end > 1 else BEFORE_A_MILLISECOND


def _in_words(panel: Panel, name: str) -> str:
    if not panel.session_count:
        return name
    sessions = f"{panel.session_count:,} session{'s' if panel.session_count > 1 else ''}"
    return f"{name}: {sessions}, median {duration(panel.p50_ms)}, 95 % within {duration(panel.p95_ms)}"


def _set_ticks(axes: Any, first: float, last: float) -> None:
    """Times that people say, as far as these panels reach."""
    axes.set_xlim(first / 1.1, last * 1.1)
    ticks = [tick for tick in TICKS if first <= tick <= last]
    if len(ticks) < FEWEST_TICKS:
        ticks = [tick for tick in FINE_TICKS if first <= tick <= last]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value).replace(".0 s", " s")))
