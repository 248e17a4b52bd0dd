"""Pages that nobody can turn to: limits, cursors and filters that are nonsense."""

import base64
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from sessionstore import SessionManager
from tests.bad_input.conftest import SECRET, Refuses
from tests.bad_input.values import TEN_MEGABYTES

NEW_YORK = timezone(timedelta(hours=-5))
TOKYO = timezone(timedelta(hours=9))


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("bad", [0, -1, 1001, 2**70, 2.5, True, None, "5", SECRET, float("nan"), [1]], ids=str)
def test_a_limit_that_is_no_number_of_sessions_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.list_sessions(limit=bad), "limit")


BAD_CURSORS = {
    "empty": "",
    "text": SECRET,
    "no letters": "äöü",
    "wrong length": "abc",
    "no text": base64.urlsafe_b64encode(b"\xff\xfe \xff").decode(),
    "no id": encoded("2026-01-01T12:00:00+00:00"),
    "no instant": encoded(f"{SECRET} a"),
    "naive instant": encoded("2026-01-01T12:00:00 a"),
    "instant past the calendar": encoded("9999-12-31T23:59:59-05:00 a"),
    "instant before the calendar": encoded("0001-01-01T00:00:00+09:00 a"),
    "10 MB": TEN_MEGABYTES,
    "10 MB of base64": encoded(TEN_MEGABYTES),
    "number": 7,
    "list": [SECRET],
}


@pytest.mark.parametrize("bad", BAD_CURSORS.values(), ids=BAD_CURSORS.keys())
def test_a_cursor_that_no_page_gave_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.list_sessions(cursor=bad), "cursor", (ValueError, TypeError))


@pytest.mark.parametrize("bad", [datetime(2026, 1, 1), datetime.min, datetime.max], ids=str)  # noqa: DTZ001, DTZ901 - naive
@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_a_naive_datetime_is_refused(store: SessionManager, refuses: Refuses, name: str, bad: datetime) -> None:
    given: dict[str, Any] = {name: bad}
    refuses(lambda: store.list_sessions(**given), name, ValueError)


@pytest.mark.parametrize("bad", ["2026-01-01", 1_767_225_600, date(2026, 1, 1), timedelta(1), [SECRET]], ids=str)
@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_what_is_no_datetime_is_refused(store: SessionManager, refuses: Refuses, name: str, bad: Any) -> None:
    refuses(lambda: store.list_sessions(**{name: bad}), name)


@pytest.mark.parametrize(
    ("after", "before"),
    [
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        (datetime.min.replace(tzinfo=NEW_YORK), datetime.max.replace(tzinfo=TOKYO)),
        (datetime.min.replace(tzinfo=TOKYO), datetime.max.replace(tzinfo=NEW_YORK)),
    ],
    ids=["utc", "inside the calendar", "outside the calendar in utc"],
)
def test_the_ends_of_the_calendar_enclose_every_session(
    store: SessionManager, after: datetime, before: datetime
) -> None:
    assert len(store.list_sessions(created_after=after, created_before=before).sessions) == 2


@pytest.mark.parametrize("bad", [7, [SECRET], object(), b"cartoon"], ids=["number", "list", "object", "bytes"])
def test_a_media_type_that_is_no_text_is_refused(store: SessionManager, refuses: Refuses, bad: Any) -> None:
    refuses(lambda: store.list_sessions(media_type=bad), "media_type")


@pytest.mark.parametrize(
    "bad", ["\ud800", f"{SECRET}\ud800", "a\0b", TEN_MEGABYTES], ids=["surrogate", "text", "nul", "10 MB"]
)
def test_a_media_type_that_cannot_be_stored_is_refused(store: SessionManager, refuses: Refuses, bad: str) -> None:
    refuses(lambda: store.list_sessions(media_type=bad), "media_type")


def test_a_media_type_that_no_session_has_lists_none(store: SessionManager) -> None:
    assert store.list_sessions(media_type="opera").sessions == []
