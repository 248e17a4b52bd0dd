"""What one session went through: a lane for each status, a bar in it for as long as the session had it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matplotlib.dates import date2num

from sessionstore.cli.reports.pictures.style import (
    COLOURS,
    FAINT,
    HEADER,
    INK,
    QUIET,
    calm,
    fit,
    say_nothing_is_there,
    set_times,
    set_title,
)
from sessionstore.cli.reports.questions import Question
from sessionstore.cli.reports.readable import duration
from sessionstore.models import GenerationStatus, Report

INCHES_A_LANE, INCHES_BELOW = 0.5, 0.65
BAR_HEIGHT = 0.46
# In parts of the whole axis: a shorter bar would not be seen, and so much is left for the last label.
LEAST_WIDTH, ROOM_BEHIND = 0.003, 0.12
SECOND = 1 / 86_400
# A character of a label, in parts of the axis; a label that would reach into the next bar is left out.
CHARACTER_WIDTH = 0.0085


@dataclass(frozen=True, slots=True)
class Turn:
    """A stay in a status; `left_at` is None for the last, and `duration_ms` with it."""

    status: str
    attempt: int
    entered_at: datetime
    left_at: datetime | None
    duration_ms: int | None

    @property
    def is_end(self) -> bool:
        return GenerationStatus(self.status).is_terminal()


@dataclass(frozen=True, slots=True)
class Bar:
    """A turn on the axis, in days; a moment when `start` is `end`."""

    lane: int
    status: str
    start: float
    end: float
    label: str


def draw(figure: Any, parts: Mapping[str, Report], asked: Question) -> None:
    """Lanes in the order in which they were first entered."""
    turns = [Turn(*row) for row in parts["timeline"].rows]
    title = f"Session {asked.filters['session_id']}"
    if not turns:
        set_title(figure, title, "times in UTC")
        say_nothing_is_there(figure, "Nothing is kept any more of the statuses that it went through.")
        return
    lanes = list(dict.fromkeys(turn.status for turn in turns))
    figure.set_size_inches(figure.get_size_inches()[0], INCHES_A_LANE * len(lanes) + HEADER + INCHES_BELOW)
    set_title(figure, title, _in_words(turns, asked.now))
    axes = figure.subplots()
    bars = [_bar(turn, lanes.index(turn.status), turn is turns[-1], asked.now) for turn in turns]
    start, end = bars[0].start, max(bar.end for bar in bars)
    # A session that was only created is a moment; an axis needs some length.
    length = max(end - start, SECOND)
    axes.set_xlim(start - length * 0.01, end + length * ROOM_BEHIND)
    axes.set_ylim(len(lanes) - 0.5, -0.7)
    for bar in bars:
        _draw_bar(axes, bar, length)
        _draw_label(
            axes, bar, [each.start for each in bars if each.lane == bar.lane and each.start > bar.start], length
        )
    _mark_attempts(axes, turns, length)
    _label_axes(axes, lanes)
    fit(figure)


def _in_words(turns: Sequence[Turn], now: datetime) -> str:
    first, last = turns[0], turns[-1]
    since, until = (first.entered_at, last.entered_at) if last.is_end else (last.entered_at, last.left_at or now)
    took = duration(max(0, (until - since).total_seconds() * 1000))
    facts = [
        f"created {first.entered_at:%Y-%m-%d %H:%M:%S}",
        f"{last.status} {'after' if last.is_end else 'for'} {took}",
    ]
    if last.attempt > 1:
        facts.append(f"{last.attempt} attempts")
    if last.left_at is not None:
        facts.append(f"gone {last.left_at:%Y-%m-%d %H:%M:%S}")
    return "; ".join([*facts, "times in UTC"])


def _bar(turn: Turn, lane: int, is_last: bool, now: datetime) -> Bar:
    """How it ended is a moment: how long it was kept then is not what its life is about."""
    start = date2num(turn.entered_at)
    if is_last and turn.is_end:
        return Bar(lane, turn.status, start, start, f"{turn.entered_at:%H:%M:%S}")
    if turn.left_at is None or turn.duration_ms is None:
        lasting = max(0, (now - turn.entered_at).total_seconds() * 1000)
        return Bar(lane, turn.status, start, max(start, date2num(now)), f"{duration(lasting)} so far")
    return Bar(lane, turn.status, start, date2num(turn.left_at), duration(turn.duration_ms))


def _draw_bar(axes: Any, bar: Bar, length: float) -> None:
    colour = COLOURS[bar.status]
    if bar.start == bar.end:
        axes.plot(bar.start, bar.lane, "D", color=colour, markersize=8, gid=bar.status)
    else:
        width = max(bar.end - bar.start, length * LEAST_WIDTH)
        axes.barh(bar.lane, width, left=bar.start, height=BAR_HEIGHT, color=colour, linewidth=0, gid=bar.status)


def _draw_label(axes: Any, bar: Bar, later_starts: Sequence[float], length: float) -> None:
    room = min(later_starts, default=bar.end + length) - bar.end
    if room > (len(bar.label) + 2) * CHARACTER_WIDTH * length:
        axes.annotate(bar.label, (bar.end, bar.lane), xytext=(7, 0), textcoords="offset points", va="center", color=INK)


def _mark_attempts(axes: Any, turns: Sequence[Turn], length: float) -> None:
    """Where a worker took the session, when more than one did."""
    begun = {turn.attempt: date2num(turn.entered_at) for turn in reversed(turns) if turn.attempt}
    if len(begun) < 2:
        return
    free_from = 0.0
    for attempt, start in sorted(begun.items()):
        axes.axvline(start, color=FAINT, linewidth=1, zorder=0)
        if start >= free_from:
            text = f"attempt {attempt}"
            axes.annotate(text, (start, -0.55), xytext=(3, 0), textcoords="offset points", color=QUIET, size=8)
            free_from = start + (len(text) + 1) * CHARACTER_WIDTH * length


def _label_axes(axes: Any, lanes: Sequence[str]) -> None:
    axes.set_yticks(range(len(lanes)), lanes)
    for text in axes.get_yticklabels():
        text.set_color(INK)
    set_times(axes, least_ticks=3, most_ticks=9)
    axes.set_xlabel("time (UTC)")
    calm(axes)
