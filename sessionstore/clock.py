"""What time it is, asked in one way everywhere, so that a test can move it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The system's wall clock, aware and in UTC."""
    return datetime.now(UTC)


def as_utc_rounded_up(moment: datetime, name: str) -> datetime:
    """As `as_utc`, but up to the next millisecond: for a bound that everything before it lies below."""
    rounded_down = as_utc(moment, name)
    try:
        return rounded_down if rounded_down == moment else rounded_down + timedelta(milliseconds=1)
    except OverflowError:
        return rounded_down  # The last millisecond there is.


def as_utc(moment: datetime, name: str) -> datetime:
    """`moment` in UTC, cut to the millisecond the database keeps; `name` is who gets the blame.

    Raises:
        ValueError: for a naive datetime: guessing its zone would move sessions by hours.
    """
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None or moment.utcoffset() is None:
            raise ValueError(f"{name} is a naive datetime; give it a time zone, for example datetime.now(UTC)")
        moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
