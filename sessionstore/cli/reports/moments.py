"""Moments as they are typed on a command line: a date, an instant, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from sessionstore.clock import BEGINNING

HOW_TO_WRITE = (
    "write a date (2026-03-01), an instant (2026-03-01T08:30, in UTC unless it has a zone as in 08:30+02:00), "
    "how long ago (90m, 24h, 7d or 2w), today or now"
)
_AGO = re.compile(r"([0-9]+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """An aware instant; a date, and `today`, is its midnight in UTC. How long ago is counted back from `now`.

    Further back than the calendar goes is the calendar's beginning.

    Raises:
        ValueError: for anything else, saying what can be written.
    """
    wanted = text.strip()
    if wanted == "now":
        return now
    if wanted == "today":
        return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if ago := _AGO.fullmatch(wanted):
        return _before(now, int(ago[1]), _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(wanted)
    except ValueError:
        raise ValueError(f"{text!r} is no moment; {HOW_TO_WRITE}") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _before(now: datetime, count: int, unit: str) -> datetime:
    try:
        return now - timedelta(**{unit: count})
    except OverflowError:
        return BEGINNING
