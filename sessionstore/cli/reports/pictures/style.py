"""How every picture looks: calm, and told apart by those who see few colours too."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from sessionstore.cli.reports.questions import Question

INK, QUIET, FAINT = "#0f172a", "#64748b", "#e2e8f0"
# Dark and light enough to differ without any colour.
COLOURS = {
    "pending": "#cbd5e1",
    "processing": "#3b82c4",
    "downloading": "#93c5e8",
    "completed": "#0f766e",
    "failed": "#e07b39",
    "cancelled": "#a8b3c1",
}
WIDTH_INCHES, HEIGHT_INCHES = 9.6, 4.2
# In inches from the edges, whatever the size of the picture.
MARGIN, TITLE_FROM_TOP, SUBTITLE_FROM_TOP, HEADER = 0.15, 0.15, 0.44, 0.75
# From years to parts of a second; the second, where a larger unit begins. Each is whole: a title says the rest.
TIMES = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S.%f"]
TIMES_AT_A_BEGINNING = ["%Y", "%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M:%S"]
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.edgecolor": FAINT,
    "grid.color": FAINT,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Text stays text: it can be searched, and is set in the reader's own font.
    "svg.fonttype": "none",
    # The same rows draw the same file.
    "svg.hashsalt": "sessionstore",
}


@contextmanager
def canvas(path: Path) -> Iterator[Any]:
    """A figure to draw on, which is saved when the block ends well."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES))
        FigureCanvasAgg(figure)
        yield figure
        kind = path.suffix.lower().removeprefix(".")
        figure.savefig(path, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)


def set_title(figure: Any, title: str, subtitle: str) -> None:
    """Above everything, to the left; what is drawn must stay below `HEADER` inches."""
    _, height = figure.get_size_inches()
    left = MARGIN / figure.get_size_inches()[0]
    figure.text(left, 1 - TITLE_FROM_TOP / height, title, weight="bold", size=12, va="top")
    figure.text(left, 1 - SUBTITLE_FROM_TOP / height, subtitle, color=QUIET, va="top")


def fit(figure: Any) -> None:
    """Gives the axes what the title leaves."""
    width, height = figure.get_size_inches()
    sides = (MARGIN / width, MARGIN / height, 1 - MARGIN / width, 1 - HEADER / height)
    figure.tight_layout(rect=sides, pad=0, w_pad=2, h_pad=1)


def say_nothing_is_there(figure: Any, sentence: str) -> None:
    """Where a picture would be."""
    figure.text(0.5, 0.45, sentence, ha="center", va="center", color=QUIET, size=11)


def calm(axes: Any) -> None:
    """Nothing but what is looked at."""
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def set_times(axes: Any, least_ticks: int = 4, most_ticks: int = 10) -> None:
    """Times in UTC along the horizontal axis."""
    locator = AutoDateLocator(tz=UTC, minticks=least_ticks, maxticks=most_ticks)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, UTC, TIMES, zero_formats=TIMES_AT_A_BEGINNING, show_offset=False)
    )


def media_type_in_words(asked: Question) -> list[str]:
    """The media type that was asked for, if one was."""
    return [f"media type {asked.filters['media_type']}"] if "media_type" in asked.filters else []


def window_in_words(asked: Question) -> str:
    """Which sessions are in the picture, and that its times are UTC."""
    bounds = [
        f"{bound} {asked.filters[bound]:%Y-%m-%d %H:%M}" for bound in ("since", "until") if bound in asked.filters
    ]
    return "; ".join([*media_type_in_words(asked), *bounds, "times in UTC"])
