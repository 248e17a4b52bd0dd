"""Reports as pictures, extra `plot`. Importing this imports matplotlib."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sessionstore.cli.reports.pictures import spread, throughput, timeline
from sessionstore.cli.reports.pictures.style import canvas
from sessionstore.cli.reports.questions import Question
from sessionstore.models import Report

_DRAWINGS: dict[str, Callable[[Any, Mapping[str, Report], Question], None]] = {
    "hourly": throughput.draw,
    "daily": throughput.draw,
    "durations": spread.draw,
    "distribution": spread.draw,
    "timeline": timeline.draw,
}


def draw(parts: Mapping[str, Report], asked: Question, path: Path) -> None:
    """Draws the answer to a question into `path`, over what is there; its ending says what kind of file.

    The same rows draw the same SVG. Without rows the picture says so.
    """
    with canvas(path) as figure:
        _DRAWINGS[asked.name](figure, parts, asked)
