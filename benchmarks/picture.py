"""One picture of the generations at one durability: the rates, and the worst write that anybody waited for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.contestants import BASELINE, STORE
from benchmarks.ratios import Spread, spread
from benchmarks.report import label
from benchmarks.results import Heat, Results
from benchmarks.workers import in_words

STORE_COLOUR, BASELINE_COLOUR, OTHER_COLOUR = "#0f766e", "#64748b", "#b4c0ce"
INK, QUIET, FAINT = "#0f172a", "#64748b", "#e2e8f0"
ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
# 32 threads are in the table: a fourth group would say nothing else.
WORKERS = ("1t", "8t", "4p")
# In rows: from a group's heading to its first bar, and from its last bar to the next heading.
BELOW_HEADING, ABOVE_HEADING = 0.9, 1.8
INCHES_A_ROW, INCHES_AROUND = 0.27, 1.35
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "xtick.color": QUIET,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # The same results draw the same file.
    "svg.hashsalt": "sessionstore",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant of one heat, so far down."""

    place: float
    contestant: str
    ratio: Spread
    worst_write_ms: float

    @property
    def colour(self) -> str:
        return {STORE.name: STORE_COLOUR, BASELINE.name: BASELINE_COLOUR}.get(self.contestant, OTHER_COLOUR)

    @property
    def weight(self) -> str:
        return "bold" if self.contestant == STORE.name else "normal"


def draw(results: Results, path: Path) -> None:
    """Draws the heats at full, or at normal when there are none, into `path`; its ending says what kind of file.

    Raises:
        ValueError: when no generations were measured.
    """
    heats = heats_to_draw(results)
    if not heats:
        raise ValueError("there are no generations to draw")
    groups = list(_groups(heats))
    with mpl.rc_context(STYLE):
        depth = groups[-1][1][-1].place + 1
        figure, (rates, waits) = pyplot.subplots(
            1, 2, sharey=True, figsize=(9.6, INCHES_A_ROW * depth + INCHES_AROUND), width_ratios=(3, 2)
        )
        rows = [row for _, members in groups for row in members]
        _draw_rates(rates, rows)
        _draw_waits(waits, rows)
        _draw_names(rates, groups, depth)
        _draw_title(figure, heats[0].durability, results)
        figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def heats_to_draw(results: Results) -> list[Heat]:
    """Generations at one durability, full where it was measured: of the usual numbers of workers, else of any."""
    for durability in ("full", "normal"):
        heats = [heat for heat in results.heats if heat.key()[:2] == ("generations", durability)]
        heats = [heat for heat in heats if not heat.filled_sessions]
        if heats:
            return [heat for heat in heats if heat.workers in WORKERS] or heats
    return []


def _groups(heats: list[Heat]) -> Iterator[tuple[Heat, list[Row]]]:
    place = 0.0
    for heat in heats:
        place += BELOW_HEADING
        rows = []
        for contestant in sorted(heat.contestants(), key=lambda name: (name != STORE.name, name != BASELINE.name)):
            is_baseline = contestant == BASELINE.name
            ratio = Spread(1, 1, 1) if is_baseline else spread(heat.ratios(contestant))
            if ratio is not None:
                worst = max(run.worst_write_us() for run in heat.of(contestant)) / 1000
                rows.append(Row(place, contestant, ratio, worst))
                place += 1
        yield heat, rows
        place += ABOVE_HEADING - 1


def _draw_rates(axes: Any, rows: list[Row]) -> None:
    """Bars of the median ratios; a fine line reaches from the least to the most."""
    longest = max(row.ratio.most for row in rows)
    for row in rows:
        ratio = row.ratio
        axes.barh(row.place, ratio.median, height=0.68, color=row.colour, linewidth=0)
        if ratio.least < ratio.most:
            axes.plot([ratio.least, ratio.most], [row.place] * 2, color=INK, linewidth=0.8, solid_capstyle="butt")
        text = "1" if row.contestant == BASELINE.name else f"{ratio.median:.2f}"
        end = ratio.most + longest * 0.015
        axes.text(end, row.place, text, va="center", weight=row.weight, bbox=ON_WHITE)
    axes.axvline(1, color=BASELINE_COLOUR, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
    axes.set_xlim(0, longest * 1.12)
    axes.set_xticks([])
    _calm(axes, "Generations a second (hand-written sqlite3 = 1)")


def _draw_waits(axes: Any, rows: list[Row]) -> None:
    """A point for each worst write, on a logarithmic scale: there a bar's length would mean nothing."""
    axes.set_xscale("log")
    worst = [row.worst_write_ms for row in rows]
    axes.set_xlim(min(worst) / 1.8, max(worst) * 4.5)
    for row in rows:
        axes.plot([0, row.worst_write_ms], [row.place] * 2, color=FAINT, linewidth=1.5, zorder=0)
        axes.plot(row.worst_write_ms, row.place, "o", color=row.colour, markersize=6.5)
        axes.annotate(
            _milliseconds(row.worst_write_ms),
            (row.worst_write_ms, row.place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            weight=row.weight,
        )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _milliseconds(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    _calm(axes, "The worst write (logarithmic scale)")


def _draw_names(axes: Any, groups: list[tuple[Heat, list[Row]]], depth: float) -> None:
    rows = [row for _, members in groups for row in members]
    axes.set_yticks([row.place for row in rows], [label(row.contestant) for row in rows])
    for text, row in zip(axes.get_yticklabels(), rows, strict=True):
        text.set(weight=row.weight, color=INK)
    for heat, members in groups:
        axes.annotate(
            in_words(heat.workers),
            (0, members[0].place - BELOW_HEADING),
            xytext=(0, 0),
            textcoords="offset points",
            va="center",
            weight="bold",
            color=QUIET,
        )
    axes.set_ylim(depth - 0.4, -0.6)


def _draw_title(figure: Any, durability: str, results: Results) -> None:
    figure.suptitle(
        f"One generation: 13 acknowledged writes and 5 reads, durability {durability}",
        x=0.012,
        ha="left",
        weight="bold",
        size=11,
    )
    machine = results.machine
    sync_us = median(run.fdatasync_us for heat in heats_to_draw(results) for run in heat.runs)
    figure.text(
        0.012,
        0.012,
        f"{machine['cpu']}, {machine['disk'].split()[0]}, fdatasync {sync_us:.0f} µs, SQLite {machine['sqlite']}. "
        "Bars: medians of ratios to the runs just before and after; fine lines: from the least to the most.",
        color=QUIET,
        size=7,
    )
    figure.tight_layout(rect=(0, 0.025, 1, 1), w_pad=2)


def _calm(axes: Any, title: str) -> None:
    """Nothing but what is looked at."""
    axes.set_title(title, loc="left", size=9, color=QUIET, pad=2)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)


def _milliseconds(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms"
