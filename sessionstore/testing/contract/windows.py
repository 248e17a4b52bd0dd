"""The arguments of `report`: windows of time, media types, limits; and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from sessionstore.testing import ManualClock
from sessionstore.testing.contract.days import TwoDaysGroup, instant
from sessionstore.testing.contract.group import Manager, OpenManager, a_request

VIEWS = ("sessions", "hourly", "daily", "failures", "scenes", "status_durations", "departures", "stuck", "costs")
COMPUTED = ("durations", "distribution")

A_MILLISECOND = timedelta(milliseconds=1)
FIRST_DAY, SECOND_DAY = date(2026, 3, 1), date(2026, 3, 2)
MIDNIGHT = instant("02 00:00:00")


def first_columns(manager: Manager, name: str, **arguments: Any) -> list[Any]:
    """What the first column of a report holds, each value once, in its order."""
    return list(dict.fromkeys(row[0] for row in manager.report(name, **arguments).rows))


def naive(name: str) -> dict[str, Any]:
    """An instant that says no zone, as that argument."""
    return {name: datetime(2026, 1, 1)}  # noqa: DTZ001 - that is the point


class WindowsContract(TwoDaysGroup):
    """`since`, `until`, `media_type`, `limit` and `name`."""

    def test_an_hour_that_the_window_touches_is_in_it_whole(self, after_two_days: Manager) -> None:
        def hours(since: datetime, until: datetime) -> list[str]:
            return [f"{hour:%d %H}" for hour in first_columns(after_two_days, "hourly", since=since, until=until)]

        assert hours(instant("01 23:00:00"), MIDNIGHT) == ["01 23"]
        assert hours(instant("01 22:59:59.999"), MIDNIGHT + A_MILLISECOND) == ["01 22", "01 23", "02 00"]
        assert hours(instant("01 23:59:59.999"), MIDNIGHT) == ["01 23"]
        assert hours(instant("02 00:59:59.999"), instant("02 02:00:00")) == ["02 00"]
        assert hours(instant("02 01:00:00"), instant("02 02:00:00.001")) == ["02 02"]
        assert hours(instant("02 03:00:00"), instant("09 00:00:00")) == []

    def test_a_day_that_the_window_touches_is_in_it_whole(self, after_two_days: Manager) -> None:
        for name in ("daily", "costs"):
            assert first_columns(after_two_days, name, until=MIDNIGHT) == [FIRST_DAY]
            assert first_columns(after_two_days, name, until=MIDNIGHT + A_MILLISECOND) == [FIRST_DAY, SECOND_DAY]
            assert first_columns(after_two_days, name, since=MIDNIGHT) == [SECOND_DAY]
            assert first_columns(after_two_days, name, since=MIDNIGHT - A_MILLISECOND) == [FIRST_DAY, SECOND_DAY]
            assert first_columns(after_two_days, name, since=instant("02 23:59:59.999")) == [SECOND_DAY]
            assert first_columns(after_two_days, name, since=instant("03 00:00:00")) == []
        whole = [row for row in after_two_days.report("daily").rows if row[0] == SECOND_DAY]
        assert after_two_days.report("daily", since=instant("02 23:00:00")).rows == whole

    def test_sessions_are_within_the_window_of_their_creation_to_the_millisecond(self, after_two_days: Manager) -> None:
        def born(since: datetime, until: datetime) -> list[str]:
            return first_columns(after_two_days, "sessions", since=since, until=until)

        assert born(instant("01 22:00:10"), instant("01 23:50:00")) == ["owl"]
        assert born(instant("01 22:00:10"), instant("01 23:50:00.001")) == ["owl", "elk"]
        assert born(instant("01 22:00:10.001"), instant("01 23:59:59.999")) == ["elk"]
        assert born(instant("01 23:59:59.999"), MIDNIGHT) == ["bee"]

    def test_a_bound_in_another_zone_is_the_same_moment(self, after_two_days: Manager) -> None:
        tokyo, lima = timezone(timedelta(hours=9)), timezone(timedelta(hours=-5))
        for name in VIEWS:
            expected = after_two_days.report(name, since=MIDNIGHT, until=instant("02 01:00:00"))
            elsewhere = after_two_days.report(
                name, since=MIDNIGHT.astimezone(tokyo), until=instant("02 01:00:00").astimezone(lima)
            )
            assert elsewhere == expected

    def test_durations_are_those_of_sessions_created_within_the_window(self, after_two_days: Manager) -> None:
        def counted(**window: Any) -> dict[tuple[str | None, str], int]:
            return {row[:2]: row[2] for row in after_two_days.report("durations", **window).rows}

        assert counted(until=MIDNIGHT, since=instant("01 23:59:59.999")) == {
            (None, "generation"): 1,
            (None, "queue"): 1,
        }
        assert counted(since=MIDNIGHT) == {("cinematic", "generation"): 1, ("cinematic", "queue"): 1}

    def test_a_media_type_chooses_its_rows_of_every_report_that_has_one(self, after_two_days: Manager) -> None:
        for name in (*VIEWS[:-1], *COMPUTED):
            report = after_two_days.report(name)
            column = report.columns.index("media_type")
            chosen = after_two_days.report(name, media_type="cartoon")
            assert chosen.rows == [row for row in report.rows if row[column] == "cartoon"]
            assert chosen.columns == report.columns
        assert after_two_days.report("hourly", media_type="unheard of").rows == []

    def test_a_limit_keeps_the_newest_rows_and_their_order(self, after_two_days: Manager) -> None:
        for name in VIEWS:
            rows = after_two_days.report(name).rows
            for limit in (1, 3, len(rows) or 1, 1000):
                assert after_two_days.report(name, limit=limit).rows == rows[-limit:], name

    def test_a_limit_counts_rows_within_the_window(self, after_two_days: Manager) -> None:
        rows = after_two_days.report("sessions", until=MIDNIGHT, media_type="cartoon", limit=1).rows

        assert [row[0] for row in rows] == ["owl"]

    def test_dashes_and_underscores_in_a_name_are_the_same(self, manager: Manager) -> None:
        assert manager.report("status-durations") == manager.report("status_durations")

    def test_the_ends_of_the_calendar_are_bounds_too(self, manager: Manager) -> None:
        manager.create_session(a_request())
        last = datetime.max.replace(tzinfo=UTC)

        for name in ("sessions", "hourly", "daily"):
            assert len(manager.report(name, since=datetime.min.replace(tzinfo=UTC), until=last).rows) == 1
            assert manager.report(name, since=last).rows == []

    # What is refused

    def test_a_name_that_is_no_report_is_refused_with_the_names_there_are(self, manager: Manager) -> None:
        names: list[Any] = ["", "report_hourly", "Hourly", "hour", "sessions; --", None, 7, b"hourly", ["hourly"]]
        for name in names:
            with pytest.raises(ValueError, match=r"name must be a report: sessions, hourly, .*timeline"):
                manager.report(name)

    def test_a_bound_that_is_no_aware_instant_is_refused_by_its_name(self, manager: Manager) -> None:
        for name in ("since", "until"):
            values: list[Any] = ["2026-01-01", 1_767_225_600, date(2026, 1, 1)]
            for value in values:
                with pytest.raises(TypeError, match=f"{name} must be a datetime"):
                    manager.report("hourly", **{name: value})
            with pytest.raises(ValueError, match=f"{name} is a naive datetime"):
                manager.report("hourly", **naive(name))

    def test_a_window_that_ends_before_it_begins_is_refused(self, manager: Manager, clock: ManualClock) -> None:
        for until in (clock.now, clock.now - A_MILLISECOND):
            with pytest.raises(ValueError, match="since must lie before until"):
                manager.report("hourly", since=clock.now, until=until)
        assert manager.report("hourly", since=clock.now, until=clock.now + A_MILLISECOND).rows == []

    def test_a_limit_that_is_no_number_of_rows_is_refused(self, manager: Manager) -> None:
        limits: list[Any] = [0, -1, True, 1.5, "5"]
        for limit in limits:
            with pytest.raises(ValueError, match="limit must be an integer from 1 to"):
                manager.report("hourly", limit=limit)

    def test_a_media_type_that_is_no_text_or_that_a_report_does_not_have_is_refused(self, manager: Manager) -> None:
        with pytest.raises(TypeError, match="media_type must be text"):
            manager.report("hourly", media_type=7)  # type: ignore[arg-type]
        for value in ("\ud800", "x" * 256):
            with pytest.raises(ValueError, match="media_type"):
                manager.report("hourly", media_type=value)
        with pytest.raises(ValueError, match="media_type means nothing to report costs"):
            manager.report("costs", media_type="cartoon")

    def test_a_session_is_asked_for_in_the_timeline_and_nowhere_else(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        with pytest.raises(ValueError, match="session_id"):
            manager.report("timeline")
        for name in (*VIEWS, *COMPUTED):
            with pytest.raises(ValueError, match="session_id"):
                manager.report(name, session_id=session_id)
        for value in ("", "x" * 256):
            with pytest.raises(ValueError, match="session_id"):
                manager.report("timeline", session_id=value)

    def test_a_refused_report_leaves_the_store_usable(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        with manager.transaction():
            session_id = manager.create_session(a_request())
            with pytest.raises(ValueError, match="name"):
                manager.report("nothing")
            assert [row[0] for row in manager.report("sessions").rows] == [session_id], "it joins the transaction"

        assert [row[0] for row in manager.report("sessions").rows] == [session_id]
