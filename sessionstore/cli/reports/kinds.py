"""What each report answers, which options it takes, and what is drawn of it."""

from dataclasses import dataclass
from difflib import get_close_matches

WINDOW = ("--since", "--until")
_ROWS = frozenset({*WINDOW, "--media-type", "--limit"})
_FIGURES = frozenset({*WINDOW, "--media-type", "--plot"})


@dataclass(frozen=True, slots=True)
class ReportKind:
    """A report as the command line offers it: `takes` are the options that mean something to it."""

    answers: str
    takes: frozenset[str] = _ROWS
    limit: int | None = None
    # The reports that its picture is made of.
    drawn_from: tuple[str, ...] = ()


KINDS = {
    # 1000: what a person can scroll through; a store may hold millions.
    "sessions": ReportKind("every session, living or gone, with its figures", limit=1000),
    "hourly": ReportKind("what happened in each hour, by media type", _ROWS | {"--plot"}, drawn_from=("hourly",)),
    "daily": ReportKind("what happened on each day, by media type", _ROWS | {"--plot"}, drawn_from=("daily",)),
    "failures": ReportKind("why sessions failed: each day's error messages"),
    "scenes": ReportKind("scenes saved in each hour, and how long one took"),
    "status_durations": ReportKind("time that sessions spent in a status, by the hour they left it"),
    "departures": ReportKind("why sessions left the store, by the hour"),
    "stuck": ReportKind("processing sessions to which nothing was written for 30 minutes"),
    "costs": ReportKind("what paid calls cost, by day and provider", _ROWS - {"--media-type"}),
    "durations": ReportKind(
        "median and 95th percentile of queue and generation time", _FIGURES, drawn_from=("distribution", "durations")
    ),
    "distribution": ReportKind("how many sessions took how long", _FIGURES, drawn_from=("distribution", "durations")),
    "timeline": ReportKind(
        "the statuses that one session went through", frozenset({"--session", "--plot"}), drawn_from=("timeline",)
    ),
}
DRAWABLE = tuple(name for name, kind in KINDS.items() if kind.drawn_from)


def typed(name: str) -> str:
    """As it is typed: with hyphens."""
    return name.replace("_", "-")


def similar(name: str) -> str | None:
    """The report that somebody may have wanted to type."""
    close = get_close_matches(name.lower().replace("-", "_"), KINDS, n=1)
    return typed(close[0]) if close else None
