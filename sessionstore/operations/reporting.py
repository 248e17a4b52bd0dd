"""Reports: the views, as tables with a window of time, and two that take more than a query."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sessionstore.clock import as_utc_rounded_up
from sessionstore.duration_classes import ends_reaching
from sessionstore.exact import exact_integer, exact_text
from sessionstore.identifiers import checked_identifier
from sessionstore.models import MAX_INTEGER, Report
from sessionstore.operations.changes import absent, milliseconds
from sessionstore.operations.store import Store
from sessionstore.persistence.payload import checked_text
from sessionstore.persistence.reports import STAYS, Turn, Window
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.persistence.views import REPORTS

DURATIONS, DISTRIBUTION, TIMELINE = "durations", "distribution", "timeline"
NAMES = (*REPORTS, DURATIONS, DISTRIBUTION, TIMELINE)

MAX_MEDIA_TYPE_BYTES = 255
# By media type and measure.
Measured = dict[tuple[str | None, str], list[int]]


def report(
    store: Store,
    name: str,
    since: datetime | None,
    until: datetime | None,
    media_type: str | None,
    session_id: str | None,
    limit: int | None,
) -> Report:
    """The report of that name."""
    name = _checked_name(name)
    if name == TIMELINE:
        _refuse(name, since=since, until=until, media_type=media_type, limit=limit)
        return timeline(store, session_id)
    _refuse(name, session_id=session_id)
    window = _window(since, until, media_type)
    if name in {DURATIONS, DISTRIBUTION}:
        _refuse(name, limit=limit)
        measured = _measured(store.engine.read(lambda unit: unit.reports.durations(window)))
        return _percentiles(measured) if name == DURATIONS else _distribution(measured)
    view = REPORTS[name]
    if "media_type" not in view.table.c:
        _refuse(name, media_type=media_type)
    newest = exact_integer(limit)
    if limit is not None and (newest is None or not 1 <= newest <= MAX_INTEGER):
        raise ValueError(f"limit must be an integer from 1 to {MAX_INTEGER}, or None")
    rows = store.engine.read(lambda unit: unit.reports.rows(view, window, newest))
    return Report(name=name, columns=list(view.table.c.keys()), rows=rows)


def timeline(store: Store, session_id: str | None) -> Report:
    """The statuses that one session went through, as far back as events are kept."""
    if session_id is None:
        raise ValueError("session_id must say which session report timeline is about")
    wanted = checked_identifier(session_id, "session_id")

    def work(unit: UnitOfWork) -> list[Turn]:
        # A damaged row would send the search for its events astray.
        if unit.sessions.state(wanted) is None:
            unit.history.find_tombstone(wanted)
        turns = unit.reports.turns(wanted)
        if turns is None:
            raise absent(wanted)
        return turns

    turns = store.engine.read(work)
    rows = []
    for turn, following in zip(turns, [*turns, None][1:], strict=True):
        if turn.event_type in STAYS:
            left_at = None if following is None else following.occurred_at
            lasted = None if left_at is None else milliseconds(turn.occurred_at, left_at)
            rows.append((turn.status, turn.attempt, turn.occurred_at, left_at, lasted))
    return Report(name=TIMELINE, columns=["status", "attempt", "entered_at", "left_at", "duration_ms"], rows=rows)


def _checked_name(name: object) -> str:
    wanted = exact_text(name, "name").replace("-", "_") if issubclass(type(name), str) else None
    if wanted is None or wanted not in NAMES:
        raise ValueError(f"name must be a report: {', '.join(NAMES)}")
    return wanted


def _refuse(name: str, **given: object) -> None:
    """Raises ValueError for an argument that means nothing to a report."""
    for argument, value in given.items():
        if value is not None:
            raise ValueError(f"{argument} means nothing to report {name}; leave it out")


def _window(since: datetime | None, until: datetime | None, media_type: str | None) -> Window:
    window = Window(
        None if since is None else as_utc_rounded_up(since, "since"),
        None if until is None else as_utc_rounded_up(until, "until"),
        None if media_type is None else checked_text(media_type, "media_type", MAX_MEDIA_TYPE_BYTES),
    )
    if window.since is not None and window.until is not None and window.since >= window.until:
        raise ValueError("since must lie before until")
    return window


def _measured(rows: Iterable[tuple[str | None, int, int | None]]) -> Measured:
    """What was measured, sorted; by media type, the time in the queue first."""
    queue: dict[str | None, list[int]] = defaultdict(list)
    generation: dict[str | None, list[int]] = defaultdict(list)
    for media_type, queue_ms, generation_ms in rows:
        queue[media_type].append(queue_ms)
        if generation_ms is not None:
            generation[media_type].append(generation_ms)
    return {
        (media_type, measure): sorted(found[media_type])
        for media_type in sorted(queue, key=lambda each: each or "")
        for measure, found in (("queue", queue), ("generation", generation))
        if media_type in found
    }


def _percentiles(measured: Measured) -> Report:
    rows = [
        (*key, len(values), values[0], _nearest_rank(values, 50), _nearest_rank(values, 95), values[-1])
        for key, values in measured.items()
    ]
    columns = ["media_type", "measure", "session_count", "min_ms", "p50_ms", "p95_ms", "max_ms"]
    return Report(name=DURATIONS, columns=columns, rows=rows)


def _nearest_rank(values: Sequence[int], percent: int) -> int:
    """A value that was measured, not one between two: the same whoever computes it."""
    return values[math.ceil(len(values) * percent / 100) - 1]


def _distribution(measured: Measured) -> Report:
    rows: list[tuple[Any, ...]] = []
    for key, values in measured.items():
        below = 0
        for end in ends_reaching(values[-1]):
            up_to_here = bisect_right(values, end)
            if up_to_here > below:
                rows.append((*key, end, up_to_here - below))
            below = up_to_here
    return Report(name=DISTRIBUTION, columns=["media_type", "measure", "up_to_ms", "session_count"], rows=rows)
