"""Session ids: unique, in the order of time, and telling when they were made."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sessionstore.identifiers import checked_identifier, new_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - the zone is added below
def test_an_id_is_a_uuid_7_of_its_millisecond(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    made = UUID(new_id(moment))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert abs((made.int >> 80) - elapsed / timedelta(milliseconds=1)) <= 1


def test_later_ids_sort_after_earlier_ones_and_none_is_made_twice() -> None:
    moments = [NOW + timedelta(milliseconds=each) for each in range(100)]
    made = [new_id(moment) for moment in moments]
    assert made == sorted(made)
    assert len({new_id(NOW) for _ in range(1000)}) == 1000


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=255))
def test_whatever_can_be_printed_is_an_id(text: str) -> None:
    assert checked_identifier(text, "session_id") == text


@given(st.text(max_size=300))
def test_what_is_accepted_can_be_stored_on_every_database(text: str) -> None:
    try:
        checked_identifier(text, "session_id")
    except ValueError:
        return
    assert text.isprintable()
    assert "\0" not in text
    assert 1 <= len(text.encode()) <= 4 * 255


@pytest.mark.parametrize("text", ["a" * 255, "order 7/b", "Bühne", "\N{BRIDGE AT NIGHT}", "'; DROP TABLE sessions; --"])
def test_a_callers_own_id_may_look_as_it_likes(text: str) -> None:
    assert checked_identifier(text, "session_id") == text
