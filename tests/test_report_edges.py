"""Reports at their edges: bounds between milliseconds, clocks set back, ids used again, arguments out of place."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from sessionstore import SessionManager
from sessionstore.testing import ManualClock
from tests.conftest import OpenManager

STORY = {"story_text": "A lamp."}


class Order(BaseModel):
    media_type: str | None = None


def statuses(manager: SessionManager, session_id: str) -> list[str]:
    return [row[0] for row in manager.report("timeline", session_id=session_id).rows]


def test_a_bound_between_two_milliseconds_keeps_out_what_was_created_before_it(
    manager: SessionManager, clock: ManualClock
) -> None:
    manager.create_session(STORY)
    assert manager.report("sessions", since=clock.now + timedelta(microseconds=500)).rows == []


@pytest.mark.parametrize("name", ["daily", "failures", "costs"])
def test_the_beginning_of_the_calendar_is_a_bound(manager: SessionManager, name: str) -> None:
    assert manager.report(name, until=datetime.min.replace(tzinfo=UTC)).rows == []


def test_a_limit_beyond_64_bits_is_refused_by_name(manager: SessionManager) -> None:
    with pytest.raises(ValueError, match="limit"):
        manager.report("sessions", limit=2**63)


def test_a_timeline_is_whole_when_the_clock_was_set_back_and_the_status_is_the_first_again(
    manager: SessionManager, clock: ManualClock
) -> None:
    session_id = manager.create_session(STORY)
    clock.advance(minutes=1)
    manager.update_session_status(session_id, "processing")
    clock.advance(hours=-1)
    manager.update_session_status(session_id, "pending")
    assert statuses(manager, session_id) == ["pending", "processing", "pending"]


def test_a_timeline_of_an_id_that_is_used_again_in_the_same_millisecond_is_of_one_life(manager: SessionManager) -> None:
    manager.create_session(STORY, session_id="a")
    manager.update_session_status("a", "failed")
    manager.remove_session("a")
    manager.create_session(STORY, session_id="a")
    assert statuses(manager, "a") == ["pending"]


def test_a_timeline_of_an_id_that_is_used_again_is_of_one_life_when_the_clock_was_set_back(
    manager: SessionManager, clock: ManualClock
) -> None:
    manager.create_session(STORY, session_id="a")
    manager.update_session_status("a", "failed")
    manager.remove_session("a")
    clock.advance(minutes=5)
    manager.create_session(STORY, session_id="a")
    clock.advance(minutes=-10)
    manager.update_session_status("a", "completed")
    assert statuses(manager, "a") == ["pending", "completed"]


def test_an_empty_media_type_is_one_and_the_same_in_every_report(open_manager: OpenManager) -> None:
    manager: Any = open_manager(request_model=Order)
    manager.create_session(Order(media_type=""))
    (hourly,), (session,) = manager.report("hourly").rows, manager.report("sessions").rows
    assert session[2] == hourly[1]


@pytest.mark.parametrize("name", ["durations", "distribution"])
def test_an_argument_that_a_report_does_not_take_is_refused(manager: SessionManager, name: str) -> None:
    with pytest.raises((TypeError, ValueError), match="limit"):
        manager.report(name, limit=1)


def test_a_window_or_limit_of_a_timeline_is_refused_or_works(manager: SessionManager) -> None:
    session_id = manager.create_session(STORY)
    with pytest.raises((TypeError, ValueError)):
        manager.report("timeline", session_id=session_id, since="yesterday", limit=0)  # type: ignore[arg-type]
