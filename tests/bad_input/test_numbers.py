"""Limits, ages, intervals and timeouts that are no numbers, out of range, or beyond what clocks count to."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import GenerationStatus, SessionManager
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.bad_input.conftest import SECRET, Refuses
from tests.conftest import OpenManager

NO_DURATIONS = [
    pytest.param(-1, id="negative"),
    pytest.param(float("nan"), id="nan"),
    pytest.param(float("inf"), id="infinite"),
    pytest.param(SECRET, id="text"),
    pytest.param([1], id="list"),
]
# More hours, days or seconds than there are in the calendar, or in what a lock can wait.
ENORMOUS = [1e9, 1e13, 1e300]


@pytest.mark.parametrize("bad", [*NO_DURATIONS, pytest.param(True, id="true")])
def test_an_age_that_is_no_number_of_hours_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.cleanup_expired_sessions(bad), "max_age_hours")
    refuses(lambda: store.cleanup_completed_sessions(bad), "max_age_hours")


def test_completed_sessions_are_not_cleaned_up_by_no_age_at_all(store: SessionManager, refuses: Refuses) -> None:
    none: Any = None
    refuses(lambda: store.cleanup_completed_sessions(none), "max_age_hours")


@pytest.mark.parametrize("hours", ENORMOUS)
def test_nothing_is_older_than_an_age_before_the_calendar(
    store: SessionManager, clock: ManualClock, hours: float
) -> None:
    store.update_session_status("a", "completed")
    store.remove_session("b")
    clock.advance(days=365 * 50)
    assert store.cleanup_completed_sessions(hours) == 0
    assert store.update_session_status("a", "pending")
    assert store.cleanup_expired_sessions(hours) == 0


RETENTIONS = [
    "session_max_age_hours",
    "failed_retention_hours",
    "completed_retention_hours",
    "cancelled_retention_hours",
    "event_retention_days",
    "tombstone_retention_days",
    "stuck_after_minutes",
]


@pytest.mark.parametrize("amount", ENORMOUS)
@pytest.mark.parametrize("setting", RETENTIONS)
def test_a_retention_beyond_the_calendar_keeps_everything_and_breaks_nothing(
    open_manager: OpenManager, setting: str, amount: float, caplog: pytest.LogCaptureFixture
) -> None:
    manager = open_manager(**{setting: amount}, max_sessions=2)
    for status in (GenerationStatus.PENDING, GenerationStatus.FAILED, GenerationStatus.PROCESSING):
        manager.update_session_status(manager.create_session({"story_text": "A lamp."}), status)
    assert wait_for_cleanup(manager)
    assert manager.get_session_count() == 2
    assert manager.get_health_status()["stuck_sessions"] == "0"
    assert caplog.records == []


@pytest.mark.parametrize("seconds", ENORMOUS)
@pytest.mark.parametrize("setting", ["cleanup_interval", "touch_interval", "lock_timeout"])
def test_an_interval_beyond_what_a_lock_can_wait_is_as_good_as_never(
    open_manager: OpenManager, setting: str, seconds: float
) -> None:
    manager = open_manager(**{setting: seconds})
    manager.reconfigure(max_sessions=7)
    manager.create_session({"story_text": "A lamp."})
    assert wait_for_cleanup(manager)
    assert manager.get_health_status()["cleanup_active"] == "yes"


@pytest.mark.parametrize("bad", [0, -1, 1.5, float("nan"), float("inf"), SECRET, [5]], ids=str)
def test_a_capacity_that_is_none_is_refused_and_the_old_one_stays(
    store: SessionManager, refuses: Refuses, bad: Any
) -> None:
    refuses(lambda: store.reconfigure(max_sessions=bad), "max_sessions")
    refuses(lambda: SessionManager(bad, database_url=store.settings.database_url), "max_sessions")
    assert store.settings.max_sessions == 100


@pytest.mark.parametrize("bad", [*NO_DURATIONS, pytest.param(0, id="zero")])
def test_an_interval_that_is_none_is_refused_and_the_old_one_stays(
    store: SessionManager, refuses: Refuses, bad: Any
) -> None:
    refuses(lambda: store.reconfigure(max_sessions=1, cleanup_interval=bad), "cleanup_interval")
    refuses(lambda: SessionManager(5, bad, database_url=store.settings.database_url), "cleanup_interval")
    assert (store.settings.max_sessions, store.settings.cleanup_interval) == (100, 3600)
    assert store.get_health_status()["cleanup_active"] == "yes"


NO_TIMEOUTS: list[tuple[str, Callable[[SessionManager], Any]]] = [
    (repr(bad), lambda store, bad=bad: store.shutdown(bad))  # type: ignore[misc]  # the bad value, bound
    for bad in (float("nan"), SECRET, None, [1])
]


@pytest.mark.parametrize("act", [act for _, act in NO_TIMEOUTS], ids=[name for name, _ in NO_TIMEOUTS])
def test_a_timeout_that_is_none_is_refused_and_nothing_is_shut_down(
    store: SessionManager, refuses: Refuses, act: Callable[[SessionManager], Any]
) -> None:
    refuses(lambda: act(store), "timeout")
    assert store.get_health_status()["cleanup_active"] == "yes"
    assert store.get_session("a") is not None


@pytest.mark.parametrize("seconds", [*ENORMOUS, float("inf")])
def test_a_shutdown_may_be_given_all_the_time_there_is(open_manager: OpenManager, seconds: float) -> None:
    assert open_manager().shutdown(timeout=seconds)
