"""What finished in each hour, or on each day: columns of completed, failed and cancelled sessions on each other."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from matplotlib.dates import date2num
from matplotlib.ticker import MaxNLocator

from sessionstore.cli.reports.highlights import STEPS, over_time
from sessionstore.cli.reports.pictures.style import (
    COLOURS,
    FAINT,
    calm,
    fit,
    media_type_in_words,
    say_nothing_is_there,
    set_times,
    set_title,
    window_in_words,
)
from sessionstore.cli.reports.questions import Question
from sessionstore.models import Report

STACKED = ("completed", "failed", "cancelled")
# More columns than that touch each other: gaps between them would be finer than a dot.
MOST_APART = 240
GAP = 0.14
# Hours and days meet, but for what a float loses: a tenth of a second.
ROUNDING_DAYS = 1e-6


def draw(figure: Any, parts: Mapping[str, Report], asked: Question) -> None:
    """On an axis of time, so that hours without any are gaps."""
    step, unit = STEPS[asked.name]
    finished = {status: over_time(parts[asked.name], f"{status}_count") for status in STACKED}
    totals = {status: sum(counts.values()) for status, counts in finished.items()}
    title = f"Sessions finished by {unit}"
    if not any(totals.values()):
        set_title(figure, title, window_in_words(asked))
        say_nothing_is_there(figure, "No session finished in this time.")
        return
    start, end = _span(sorted(finished["completed"]), step, asked)
    in_words = ", ".join(f"{total:,} {status}" for status, total in totals.items())
    span = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
    set_title(figure, title, "; ".join([in_words, *media_type_in_words(asked), f"{span}, times in UTC"]))
    axes = figure.subplots()
    # A day's tick is below the middle of its column, an hour's where it begins.
    shift = step / 2 if unit == "day" else timedelta()
    _draw_columns(axes, finished, step, shift, is_dense=(end - start) / step > MOST_APART)
    axes.set_xlim(date2num(start - shift), date2num(end - shift))
    _label(axes, unit)
    figure.legend(loc="upper right", ncols=len(STACKED), frameon=False, handlelength=0.9, handleheight=0.9)
    fit(figure)


def _span(moments: Sequence[datetime], step: timedelta, asked: Question) -> tuple[datetime, datetime]:
    """All that was asked for, also where nothing happened; but not the future."""
    last_end = moments[-1] + step
    end = asked.filters.get("until") or (asked.now if "since" in asked.filters else last_end)
    return min(asked.filters.get("since", moments[0]), moments[0]), max(last_end, min(end, asked.now))


def _draw_columns(
    axes: Any,
    finished: Mapping[str, Mapping[datetime, int]],
    step: timedelta,
    shift: timedelta,
    *,
    is_dense: bool,
) -> None:
    moments = sorted(finished["completed"])
    starts = [date2num(moment - shift) for moment in moments]
    length = step / timedelta(days=1)
    gap = 0 if is_dense else GAP * length
    edges, places = _edges([(start + gap / 2, start + length - gap / 2) for start in starts])
    base = [0] * (len(edges) - 1)
    for status in STACKED:
        top = list(base)
        for moment, place in zip(moments, places, strict=True):
            top[place] += finished[status][moment]
        axes.stairs(top, edges, baseline=base, fill=True, color=COLOURS[status], linewidth=0, label=status, gid=status)
        base = top


def _edges(columns: Sequence[tuple[float, float]]) -> tuple[list[float], list[int]]:
    """The edges of columns and of the nothing between them, and which of these spans the columns are."""
    edges = [columns[0][0]]
    places = []
    for left, right in columns:
        if left - edges[-1] > ROUNDING_DAYS:
            edges.append(left)
        places.append(len(edges) - 1)
        edges.append(right)
    return edges, places


def _label(axes: Any, unit: str) -> None:
    set_times(axes)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_xlabel(f"{unit} (UTC)")
    axes.set_ylabel(f"sessions {'an' if unit == 'hour' else 'a'} {unit}")
    calm(axes)
