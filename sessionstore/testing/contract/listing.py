"""`list_sessions`: keyset pages, newest first."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from typing import Any

import pytest

from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    a_request,
    a_scene,
    create_in_status,
    saved,
    statements_recorded,
)


def create_one_a_minute(manager: Manager, clock: ManualClock, count: int) -> list[str]:
    """`count` sessions, the newest last; the clock stands at the newest one's creation."""
    ids = []
    for number in range(count):
        clock.advance(minutes=bool(number))
        ids.append(manager.create_session(a_request()))
    return ids


def ids_of_pages(manager: Manager, **arguments: Any) -> list[list[str]]:
    """The ids on each page, following the cursors to the end."""
    pages: list[list[str]] = []
    cursor = None
    while not pages or cursor is not None:
        page = manager.list_sessions(cursor=cursor, **arguments)
        pages.append([session.session_id for session in page.sessions])
        cursor = page.next_cursor
        assert len(pages) <= 100, "the cursors never end"
    return pages


def ids_on_page(manager: Manager, **arguments: Any) -> list[str]:
    return [session.session_id for session in manager.list_sessions(**arguments).sessions]


class ListingContract(ContractGroup):
    """Pages, cursors and filters."""

    def test_an_empty_store_is_one_empty_page(self, manager: Manager) -> None:
        page = manager.list_sessions()

        assert (page.sessions, page.next_cursor) == ([], None)

    def test_the_newest_session_is_first(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, 3)

        assert ids_on_page(manager) == ids[::-1]

    def test_a_listed_session_is_whole(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(seed=7), metadata={"n": 1})
        manager.set_session_scenes(session_id, [a_scene(2), a_scene(1)])
        manager.update_session_progress(session_id, 1, 2, "half")

        (session,) = manager.list_sessions().sessions

        assert session == saved(manager, session_id)

    def test_a_page_holds_50_sessions_by_default(self, manager: Manager) -> None:
        with manager.transaction():
            for _ in range(51):
                manager.create_session(a_request())

        page = manager.list_sessions()

        assert len(page.sessions) == 50
        assert page.next_cursor is not None

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8])
    def test_the_pages_together_are_all_sessions_once(self, manager: Manager, clock: ManualClock, limit: int) -> None:
        ids = create_one_a_minute(manager, clock, 7)

        pages = ids_of_pages(manager, limit=limit)

        assert list(chain.from_iterable(pages)) == ids[::-1]
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert pages[-1] != []

    def test_sessions_of_the_same_instant_are_listed_once_each(self, manager: Manager) -> None:
        ids = {manager.create_session(a_request()) for _ in range(7)}

        listed = list(chain.from_iterable(ids_of_pages(manager, limit=2)))

        assert len(listed) == 7
        assert set(listed) == ids

    def test_sessions_made_meanwhile_shift_nothing(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, 4)
        first = manager.list_sessions(limit=2)
        clock.advance(minutes=1)
        manager.create_session(a_request())

        assert ids_on_page(manager, limit=2, cursor=first.next_cursor) == [ids[1], ids[0]]

    def test_a_cursor_outlives_the_session_it_stands_at(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, 4)
        first = manager.list_sessions(limit=2)
        manager.remove_session(ids[2])

        assert ids_on_page(manager, limit=2, cursor=first.next_cursor) == [ids[1], ids[0]]

    def test_sessions_can_be_chosen_by_status(self, manager: Manager) -> None:
        ids = {status: create_in_status(manager, status) for status in ("processing", "completed", "failed")}

        assert ids_on_page(manager, status="completed") == [ids["completed"]]
        assert ids_on_page(manager, status="cancelled") == []

    def test_sessions_can_be_chosen_by_media_type(self, manager: Manager) -> None:
        manager.create_session(a_request())
        cartoon = manager.create_session(a_request(media_type="cartoon"))

        assert ids_on_page(manager, media_type="cartoon") == [cartoon]

    def test_both_ends_of_the_creation_time_are_exclusive(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, 5)
        created = [saved(manager, each).created_at for each in ids]

        assert ids_on_page(manager, created_after=created[2]) == [ids[4], ids[3]]
        assert ids_on_page(manager, created_before=created[2]) == [ids[1], ids[0]]
        assert ids_on_page(manager, created_after=created[1], created_before=created[3]) == [ids[2]]

    def test_a_bound_may_be_finer_than_a_millisecond(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        later = clock.now + timedelta(microseconds=500)

        assert ids_on_page(manager, created_before=later) == [session_id]
        assert ids_on_page(manager, created_after=later) == []

    def test_a_bound_may_be_in_any_time_zone(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, 3)
        middle = saved(manager, ids[1]).created_at.astimezone(timezone(timedelta(hours=-7)))

        assert ids_on_page(manager, created_after=middle) == [ids[2]]

    def test_a_cursor_continues_with_the_same_filters(self, manager: Manager, clock: ManualClock) -> None:
        ids = create_one_a_minute(manager, clock, 6)
        for session_id in ids[::2]:
            manager.update_session_status(session_id, "completed")

        pages = ids_of_pages(manager, status="completed", media_type="cinematic", limit=1)

        assert list(chain.from_iterable(pages)) == ids[::2][::-1]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("status", "finished"),
            ("limit", 0),
            ("limit", 1001),
            ("limit", True),
            ("limit", 2.5),
            ("cursor", "yesterday"),
            ("cursor", ""),
            ("created_after", datetime(2026, 1, 1)),  # noqa: DTZ001 - the point
            ("created_before", datetime(2026, 1, 1)),  # noqa: DTZ001 - the point
        ],
    )
    def test_an_argument_that_makes_no_sense_is_refused_by_name(self, manager: Manager, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=name):
            manager.list_sessions(**{name: value})

    def test_a_page_of_the_largest_size_is_allowed(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        assert ids_on_page(manager, limit=1000, created_before=datetime.max.replace(tzinfo=UTC)) == [session_id]

    def test_a_page_takes_the_same_number_of_statements_whatever_is_on_it(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        ids = create_one_a_minute(manager, clock, 20)
        for session_id in ids:
            manager.add_scene_to_session(session_id, a_scene(1))
        first = manager.list_sessions(limit=2)

        with statements_recorded() as small:
            manager.list_sessions(limit=2)
        with statements_recorded() as large:
            manager.list_sessions(limit=18, cursor=first.next_cursor)

        assert 1 <= len(small) == len(large) <= 2
