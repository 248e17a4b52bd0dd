"""Moments as they are typed after --since and --until."""

from datetime import UTC, datetime, timedelta

import pytest

from sessionstore.cli.reports.moments import parse_moment

NOW = datetime(2026, 3, 5, 14, 30, 15, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T08:30", datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        ("2026-03-01 08:30:15.250", datetime(2026, 3, 1, 8, 30, 15, 250_000, tzinfo=UTC)),
        ("2026-03-01T08:30Z", datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        ("2026-03-01T08:30+02:00", datetime(2026, 3, 1, 6, 30, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("now", NOW),
        (" today ", datetime(2026, 3, 5, tzinfo=UTC)),
    ],
)
def test_what_can_be_written_is_the_moment_that_was_meant(text: str, meant: datetime) -> None:
    moment = parse_moment(text, NOW)

    assert moment == meant
    assert moment.utcoffset() is not None


def test_today_begins_at_midnight_in_utc_wherever_now_was_asked() -> None:
    late = datetime.fromisoformat("2026-03-05T23:30-05:00")

    assert parse_moment("today", late) == datetime(2026, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize("text", ["99999999999w", "3000000d"])
def test_further_back_than_the_calendar_goes_is_its_beginning(text: str) -> None:
    assert parse_moment(text, NOW).year == 1


@pytest.mark.parametrize(
    "text", ["", "yesterday", "7", "-7d", "1.5h", "7 d", "7D", "\u0667d", "2026-13-01", "01.03.2026", "24h ago"]
)
def test_anything_else_is_refused_with_what_can_be_written(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment; write a date") as refused:
        parse_moment(text, NOW)

    assert repr(text) in str(refused.value)
    assert "90m, 24h, 7d or 2w" in str(refused.value)
