"""What reports take over one day and over everything, asked of the store and of its views."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.constant_costs import costs_of
from benchmarks.contestants.this_store import ThisStore
from benchmarks.courses import History
from benchmarks.processes import run_fresh
from benchmarks.results import ReportCost
from sessionstore import SessionManager

# One row for each session: people look at the newest.
SESSIONS, NEWEST_ROWS = "sessions", 1000
REPORTS = (
    *(SESSIONS, "hourly", "daily", "failures", "scenes", "status_durations", "departures", "stuck", "costs"),
    *("durations", "distribution"),
)
_OF_A_DAY = " WHERE day = :day"
_HOURS_OF_A_DAY = " WHERE hour_at >= :day AND hour_at < date(:day, '+1 day')"
# As anybody asks who only knows the README: of everything, and what limits it to a day.
VIEWS = {
    "hourly": ("SELECT * FROM report_hourly", _HOURS_OF_A_DAY),
    "daily": ("SELECT * FROM report_daily", _OF_A_DAY),
    "failures": ("SELECT * FROM report_failures", _OF_A_DAY),
    "scenes": ("SELECT * FROM report_scenes", _HOURS_OF_A_DAY),
    "status_durations": ("SELECT * FROM report_status_durations", _HOURS_OF_A_DAY),
    "departures": ("SELECT * FROM report_departures", _HOURS_OF_A_DAY),
    "costs": ("SELECT * FROM report_costs", _OF_A_DAY),
}


def measure_reports(path: Path, history: History) -> list[ReportCost]:
    """In a fresh process, on the store at `path`, which stays as it is."""
    (costs,) = run_fresh(_measure, (path, history))
    return costs


def over_everything(manager: SessionManager) -> list[Callable[[], int]]:
    """Calls that make each report over everything, and say how many rows it has."""
    return [partial(_rows_of, manager, name) for name in REPORTS]


def _measure(path: Path, history: History) -> list[ReportCost]:
    day = history.day_in_the_middle()
    store = ThisStore(path, "full")
    try:
        costs = [*_reports(store.manager, day), *_timelines(store.manager, history)]
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return costs + list(_views(connection, day))
    finally:
        store.close()


def _reports(manager: SessionManager, day: datetime) -> Iterator[ReportCost]:
    one_day = {"since": day, "until": day + timedelta(days=1)}
    for name in REPORTS:
        yield _cost(name, partial(_rows_of, manager, name, **one_day), partial(_rows_of, manager, name))


def _timelines(manager: SessionManager, history: History) -> Iterator[ReportCost]:
    """Of one session that is gone, and of one that lives."""
    for what, before in (("gone", history.day_in_the_middle() - timedelta(days=1)), ("living", history.ends_at())):
        newest = manager.report(SESSIONS, until=before, limit=1)
        ((session_id, *_),) = newest.rows
        yield _cost(f"timeline, {what}", partial(_rows_of, manager, "timeline", session_id=session_id))


def _rows_of(manager: SessionManager, name: str, **chosen: Any) -> int:
    limit = NEWEST_ROWS if name == SESSIONS else None
    return len(manager.report(name, limit=limit, **chosen).rows)


def _views(connection: sqlite3.Connection, day: datetime) -> Iterator[ReportCost]:
    def rows(question: str) -> int:
        return len(connection.execute(question, {"day": f"{day:%Y-%m-%d}"}).fetchall())

    for name, (everything, of_a_day) in VIEWS.items():
        yield _cost(f"{name}, plain SQL", partial(rows, everything + of_a_day), partial(rows, everything))


def _cost(what: str, of_a_day: Callable[[], int], everything: Callable[[], int] | None = None) -> ReportCost:
    day_rows, (day,) = of_a_day(), costs_of({what: of_a_day})
    if everything is None:
        return ReportCost(what, day_rows, day, 0, None)
    all_rows, (all_,) = everything(), costs_of({what: everything})
    return ReportCost(what, day_rows, day, all_rows, all_)
