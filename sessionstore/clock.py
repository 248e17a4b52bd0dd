"""What time it is, asked in one way everywhere, so that a test can move it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sessionstore.exact import exact_number

Clock = Callable[[], datetime]

# How soon a wait notices that it is over.
WAIT_STEP_SECONDS = 0.1

BEGINNING = datetime.min.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """The system's wall clock, aware, in UTC, to the millisecond."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


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
        TypeError: for what is no datetime.
        ValueError: for a naive one: guessing its zone would move sessions by hours.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(moment).__name__}")
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None or moment.utcoffset() is None:
            raise ValueError(f"{name} is a naive datetime; give it a time zone, for example datetime.now(UTC)")
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            # Its zone puts it beyond the calendar; the calendar's end on that side encloses the same sessions.
            moment = BEGINNING if moment.year == BEGINNING.year else datetime.max.replace(tzinfo=UTC)
    beyond = moment.microsecond % 1000
    return moment - timedelta(microseconds=beyond) if beyond else moment


def hours_before(moment: datetime, hours: float) -> datetime:
    """So many hours earlier, or the beginning of the calendar when that lies further back."""
    try:
        return moment - timedelta(hours=hours)
    except OverflowError:
        return BEGINNING


def wait_unless(is_over: Callable[[], bool], seconds: float) -> bool:
    """Waits so many seconds; False when `is_over` came to hold meanwhile, which is noticed within a tenth of one.

    In steps instead of on a lock: a signal handler may be what makes it hold.
    """
    until = time.monotonic() + seconds
    while not is_over():
        left = until - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, WAIT_STEP_SECONDS))
    return False


def checked_timeout(seconds: object, name: str) -> float:
    """`seconds`, when it is a number from 0 up; infinity is one.

    Raises:
        TypeError: for what is no number.
        ValueError: for a negative one, or NaN.
    """
    number = exact_number(seconds)
    if number is None:
        raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not number >= 0:
        raise ValueError(f"{name} must be a number of seconds from 0 up")
    return number
