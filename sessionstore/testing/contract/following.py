"""`watch` and `wait_for`: what is told of a session, in which order, from where on, and when it ends."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import literal_column, update

from sessionstore.errors import (
    ManagerClosedError,
    SessionCorruptedError,
    SessionManagerError,
    SessionNotFoundError,
    WaitTimeoutError,
)
from sessionstore.models import GenerationStatus, SessionChange
from sessionstore.operations.feed import Feed
from sessionstore.operations.watching import SessionWatch
from sessionstore.persistence.following import ChangeRepository, Point
from sessionstore.persistence.tables import EventRow, SessionRow
from sessionstore.testing import ManualClock, wait_for_cleanup
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    Restore,
    a_request,
    a_scene,
    create_in_status,
    saved,
    statements_recorded,
)

Change = SessionChange[Any, Any]
Watch = SessionWatch[Any, Any]

NO_CURSORS: list[Any] = [
    "",
    "1",
    "1-",
    "-1",
    "1-2",
    "1-2-",
    "1-2-3-4",
    "a-b-c",
    " 1-2-3",
    "1-2-3\n",
    "\u0661-\u0662-\u0663",
    "1-2-" + "9" * 19,
    7,
    b"1-2-3",
    ["1-2-3"],
]


def types(changes: list[Change]) -> list[str]:
    return [change.event_type for change in changes]


def told(watch: Watch, count: int) -> list[Change]:
    """So many items, each of which must come."""
    changes: list[Change] = []
    for _ in range(count):
        change = watch.next_within(PATIENCE_SECONDS)
        assert change is not None, f"only {types(changes)} came"
        changes.append(change)
    return changes


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.001)


@contextmanager
def running(call: Callable[[], Any]) -> Iterator["Future[Any]"]:
    """`call` on another thread, which must have ended when the block has."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call)


class FollowingContract(ContractGroup):
    """First the state, then each change once, whoever makes it, until the session is finished or gone."""

    # What is told

    def test_the_state_comes_first_and_then_each_change_of_another_manager(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing", metadata={"n": 1})
        before = saved(manager, session_id)
        watch = manager.watch(session_id)

        (state,) = told(watch, 1)
        other.add_scene_to_session(session_id, a_scene(3))
        (added,) = told(watch, 1)
        other.atomic_session_update(session_id, {"metadata": {"n": 2}})
        (updated,) = told(watch, 1)
        other.update_session_status(session_id, "completed")

        assert (state.event_type, state.session, state.status) == ("state", before, GenerationStatus.PROCESSING)
        assert (added.event_type, added.scene_number, added.attempt) == ("scene_added", 3, 0)
        assert added.session is not None
        assert added.session.scenes == [a_scene(3)]
        assert types([updated, *watch]) == ["updated", "status_changed"]
        assert watch.is_over

    def test_an_item_says_what_the_history_says(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        watch = manager.watch(session_id)
        clock.advance(minutes=3)
        with manager.transaction():
            manager.update_session_status(session_id, "processing")
            manager.update_session_status(session_id, "downloading")

        _, first, second = told(watch, 3)

        assert [first.status, second.status] == [GenerationStatus.PROCESSING, GenerationStatus.DOWNLOADING]
        assert (first.occurred_at, first.session_id) == (clock.now, session_id)
        # Read at once, they share the snapshot.
        assert first.session is second.session

    def test_progress_is_told_with_how_the_session_stands(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)
        told(watch, 1)

        other.update_session_progress(session_id, 2, 5, "drawing")
        (ticked,) = told(watch, 1)

        assert (ticked.event_type, ticked.scene_number) == ("progress", None)
        assert ticked.session == saved(manager, session_id)

    def test_a_thousand_ticks_are_few_items_and_the_last_one_is_told(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager(durability="normal")
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)

        def tick() -> None:
            for step in range(1, 1001):
                other.update_session_progress(session_id, step, 1000, f"step {step}")

        steps: list[int] = []
        with running(tick) as ticking:
            while not steps or steps[-1] < 1000:
                (change,) = told(watch, 1)
                if change.session is not None and change.session.progress is not None:
                    steps.append(change.session.progress.current_step)
            ticking.result(PATIENCE_SECONDS)

        assert steps == sorted(set(steps))
        assert len(steps) < 500
        assert watch.next_within(0.1) is None

    def test_what_is_no_tick_is_never_coalesced(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager(durability="normal")
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)

        def write() -> None:
            for number in range(60):
                other.add_scene_to_session(session_id, a_scene(number))
                other.update_session_progress(session_id, number, 60, "drawn")
            other.update_session_status(session_id, "completed")

        with running(write):
            changes = list(watch)

        assert [each.scene_number for each in changes if each.event_type == "scene_added"] == list(range(60))
        assert (changes[-1].event_type, changes[-1].status) == ("status_changed", GenerationStatus.COMPLETED)

    def test_what_is_undone_is_not_told(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)
        told(watch, 1)

        def undo() -> None:
            with other.transaction():
                other.add_scene_to_session(session_id, a_scene(1))
                raise LookupError("never mind")

        with pytest.raises(LookupError):
            undo()
        other.add_scene_to_session(session_id, a_scene(2))

        assert [change.scene_number for change in told(watch, 1)] == [2]

    def test_the_state_and_its_cursor_come_from_one_snapshot(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        ask = ChangeRepository.latest

        def ask_late(changes: ChangeRepository) -> Point:
            monkeypatch.setattr(ChangeRepository, "latest", ask)
            other.add_scene_to_session(session_id, a_scene(1))
            return ask(changes)

        monkeypatch.setattr(ChangeRepository, "latest", ask_late)
        state, added = told(manager.watch(session_id), 2)

        assert state.session is not None
        assert (state.session.scenes, added.event_type) == ([], "scene_added")

    def test_later_items_and_their_session_come_from_one_snapshot(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        watch, ask = manager.watch(session_id), ChangeRepository.events_since
        told(watch, 1)

        def ask_late(changes: ChangeRepository, *which: Any) -> Any:
            monkeypatch.setattr(ChangeRepository, "events_since", ask)
            other.add_scene_to_session(session_id, a_scene(2))
            return ask(changes, *which)

        monkeypatch.setattr(ChangeRepository, "events_since", ask_late)
        other.add_scene_to_session(session_id, a_scene(1))
        first, second = told(watch, 2)

        assert [len(each.session.scenes) for each in (first, second) if each.session] == [1, 2]

    def test_a_change_between_the_first_look_and_the_wait_is_told(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        bystander = manager.watch(manager.create_session(a_request()))
        follow = Feed.follow

        def follow_late(feed: Feed, follower: Any) -> None:
            other.add_scene_to_session(session_id, a_scene(1))
            # The feed runs already, for another session, and has seen that commit before it knows of this watch.
            until(lambda: bystander.cursor > before)
            follow(feed, follower)

        before = bystander.cursor
        monkeypatch.setattr(Feed, "follow", follow_late)

        assert types(told(manager.watch(session_id), 2)) == ["state", "scene_added"]

    def test_models_of_ones_own_come_whole_and_can_be_dumped(self, open_manager: OpenManager) -> None:
        class Picture(BaseModel):
            scene_number: int
            brush: str

        class Order(BaseModel):
            motif: str

        manager = open_manager(request_model=Order, scene_model=Picture)
        session_id = manager.create_session(Order(motif="fox"))
        manager.add_scene_to_session(session_id, Picture(scene_number=1, brush="oil"))

        (state,) = told(manager.watch(session_id), 1)

        dumped = state.model_dump(mode="json")["session"]
        assert (dumped["request_data"], dumped["scenes"]) == ({"motif": "fox"}, [{"scene_number": 1, "brush": "oil"}])

    # Where it begins

    def test_a_cursor_goes_on_behind_its_item_in_whatever_manager(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        session_id = create_in_status(manager, "processing")
        for number in range(4):
            manager.add_scene_to_session(session_id, a_scene(number))
        (state,) = told(manager.watch(session_id), 1)
        with manager.transaction():
            manager.update_session_progress(session_id, 1, 2, "half")
            for number in range(4, 8):
                manager.add_scene_to_session(session_id, a_scene(number))
        numbers, cursor = [], state.cursor
        manager.shutdown()

        for _ in range(4):
            (change,) = told(open_manager().watch(session_id, after=cursor), 1)
            numbers.append(change.scene_number)
            cursor = change.cursor

        assert numbers == [4, 5, 6, 7]
        assert list(open_manager().watch(session_id, after=cursor, timeout=0)) == []

    def test_ticks_since_a_cursor_are_told_once(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        other.update_session_progress(session_id, 1, 2, "half")

        (ticked,) = manager.watch(session_id, after=state.cursor, timeout=0)

        assert ticked.event_type == "progress"
        assert list(manager.watch(session_id, after=ticked.cursor, timeout=0)) == []

    def test_a_watch_that_timed_out_can_be_gone_on_with_from_where_it_stood(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id, timeout=0.01)

        assert types(list(watch)) == ["state"]
        assert not watch.is_over
        assert list(watch) == []
        other.add_scene_to_session(session_id, a_scene(1))
        assert types(list(manager.watch(session_id, after=watch.cursor, timeout=0))) == ["scene_added"]

    def test_what_is_no_cursor_is_refused(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        for cursor in NO_CURSORS:
            with pytest.raises(ValueError, match="after must be the cursor"):
                manager.watch(session_id, after=cursor)

    def test_the_state_is_told_anew_when_events_may_have_been_pruned(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(event_retention_days=1, session_max_age_hours=10_000)
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        manager.add_scene_to_session(session_id, a_scene(1))
        clock.advance(hours=25)
        manager.add_scene_to_session(session_id, a_scene(2))
        assert wait_for_cleanup(manager)
        manager.add_scene_to_session(session_id, a_scene(3))

        (anew,) = manager.watch(session_id, after=state.cursor, timeout=0)

        assert (anew.event_type, anew.session) == ("state", saved(manager, session_id))
        assert list(manager.watch(session_id, after=anew.cursor, timeout=0)) == []

    def test_nothing_is_told_twice_when_only_events_before_the_cursor_were_pruned(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(event_retention_days=1, session_max_age_hours=10_000)
        session_id = create_in_status(manager, "processing")
        manager.add_scene_to_session(session_id, a_scene(1))
        (state,) = told(manager.watch(session_id), 1)
        clock.advance(hours=25)
        manager.add_scene_to_session(session_id, a_scene(2))
        assert wait_for_cleanup(manager)

        changes = list(manager.watch(session_id, after=state.cursor, timeout=0))

        assert [(each.event_type, each.scene_number) for each in changes] == [("scene_added", 2)]

    def test_a_cursor_beyond_the_newest_event_is_answered_with_the_state(self, manager: Manager) -> None:
        """As one is that was got before an older copy of the database was put back."""
        session_id = manager.create_session(a_request())

        assert types(list(manager.watch(session_id, after="1000-7-20260101120000000", timeout=0))) == ["state"]

    def test_a_cursor_from_before_an_older_copy_was_put_back_is_answered_with_the_state(
        self, open_manager: OpenManager, clock: ManualClock, restore: Restore, tmp_path: Path
    ) -> None:
        manager = open_manager()
        session_id = create_in_status(manager, "processing")
        manager.backup(tmp_path / "copy")
        clock.advance(seconds=1)
        manager.add_scene_to_session(session_id, a_scene(1))
        watch = manager.watch(session_id)
        (state,) = told(watch, 1)
        manager.add_scene_to_session(session_id, a_scene(2))
        (added,) = told(watch, 1)
        manager.create_session(a_request())
        until(lambda: watch.cursor != added.cursor)
        moved = watch.cursor
        restored = open_manager(database_url=restore(tmp_path / "copy"))
        clock.advance(seconds=1)
        for number in range(3, 9):
            restored.add_scene_to_session(session_id, a_scene(number))

        for cursor in (state.cursor, added.cursor, moved):
            (anew,) = restored.watch(session_id, after=cursor, timeout=0)
            assert (anew.event_type, anew.session) == ("state", saved(restored, session_id))

    def test_a_cursor_that_moved_over_events_of_others_goes_on_behind_them(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)
        (state,) = told(watch, 1)
        clock.advance(seconds=1)
        other.create_session(a_request())
        until(lambda: watch.cursor != state.cursor)
        other.add_scene_to_session(session_id, a_scene(1))

        assert types(list(manager.watch(session_id, after=watch.cursor, timeout=0))) == ["scene_added"]

    def test_a_spoiled_time_in_the_history_of_another_session_stops_nobody(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        manager = open_manager()
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        other = manager.create_session(a_request())
        execute(update(EventRow).where(EventRow.session_id == other).values(occurred_at=literal_column("'soon'")))

        assert types(list(manager.watch(session_id, timeout=0))) == ["state"]
        assert list(manager.watch(session_id, after=state.cursor, timeout=0)) == []

    def test_who_comes_back_reads_the_events_since_once_and_not_at_all_when_some_are_gone(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(event_retention_days=1, session_max_age_hours=10_000)
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        manager.add_scene_to_session(session_id, a_scene(1))

        with statements_recorded() as whole:
            (added,) = manager.watch(session_id, after=state.cursor, timeout=0)
        clock.advance(hours=25)
        manager.add_scene_to_session(session_id, a_scene(2))
        assert wait_for_cleanup(manager)
        manager.add_scene_to_session(session_id, a_scene(3))
        with statements_recorded() as cut:
            (anew,) = manager.watch(session_id, after=state.cursor, timeout=0)

        # Those of the thread that looks are grouped by session.
        scans = [
            [each for each in statements if "event_id >" in each and "GROUP BY" not in each]
            for statements in (whole, cut)
        ]
        assert [len(each) for each in scans] == [1, 0]
        assert (added.event_type, anew.event_type) == ("scene_added", "state")

    # Where it ends

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    def test_a_finished_session_is_told_as_it_stands_and_that_is_all(self, manager: Manager, status: str) -> None:
        session_id = create_in_status(manager, status)
        watch = manager.watch(session_id)

        assert not watch.is_over
        assert [(each.event_type, each.status.value) for each in watch] == [("state", status)]
        assert watch.is_over

    def test_with_the_cursor_of_the_end_there_is_nothing_until_the_session_is_put_back(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "failed")
        (state,) = manager.watch(session_id)
        ended = manager.watch(session_id, after=state.cursor)
        assert (list(ended), ended.is_over) == ([], True)
        manager.retry_session(session_id)

        watch = manager.watch(session_id, after=state.cursor)
        assert [change.status for change in told(watch, 1)] == [GenerationStatus.PENDING]
        manager.update_session_status(session_id, "completed")

        assert [change.status for change in watch] == [GenerationStatus.COMPLETED]

    def test_an_end_is_an_end_though_the_session_was_put_back_before_anybody_looked(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)
        with manager.transaction():
            manager.update_session_status(session_id, "failed", "boom")
            manager.retry_session(session_id)

        changes = list(watch)

        assert [change.status.value for change in changes] == ["processing", "failed"]
        assert watch.is_over
        assert watch.cursor == changes[-1].cursor
        further = manager.watch(session_id, after=watch.cursor)
        assert [change.status.value for change in told(further, 1)] == ["pending"]

    def test_what_follows_an_end_in_the_same_transaction_is_told(self, manager: Manager, execute: Execute) -> None:
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        execute(update(SessionRow).values(request_data="{}"))
        manager.recover_corrupted_session(session_id)

        changes = list(manager.watch(session_id, after=state.cursor))

        assert types(changes) == ["updated", "status_changed", "recovered"]

    @pytest.mark.parametrize(
        ("remove", "event_type"),
        [
            (lambda manager, each: manager.remove_session(each), "removed"),
            (lambda manager, each: manager.force_cleanup_all(), "cleared"),
            (lambda manager, each: manager.cleanup_expired_sessions(0), "expired"),
        ],
    )
    def test_a_removal_is_the_last_that_is_told(
        self, open_manager: OpenManager, clock: ManualClock, remove: Callable[[Manager, str], object], event_type: str
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")
        clock.advance(seconds=1)
        watch = manager.watch(session_id)
        told(watch, 1)

        remove(other, session_id)
        (gone,) = watch

        assert (gone.event_type, gone.session, gone.status) == (event_type, None, GenerationStatus.PROCESSING)
        assert watch.is_over
        assert list(manager.watch(session_id, after=gone.cursor)) == []

    def test_what_is_left_of_a_session_that_is_gone_is_told(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        manager.add_scene_to_session(session_id, a_scene(1))
        manager.remove_session(session_id)

        changes = list(manager.watch(session_id, after=state.cursor))

        assert [(each.event_type, each.session) for each in changes] == [("scene_added", None), ("removed", None)]

    def test_a_removal_whose_event_was_pruned_is_told_from_its_tombstone_once(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(event_retention_days=1, tombstone_retention_days=30)
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        clock.advance(seconds=1)
        manager.remove_session(session_id)
        gone_at = clock.now
        clock.advance(hours=25)
        manager.create_session(a_request())
        assert wait_for_cleanup(manager)

        watch = manager.watch(session_id, after=state.cursor)
        (gone,) = watch

        assert (gone.event_type, gone.status, gone.attempt) == ("removed", GenerationStatus.PROCESSING, state.attempt)
        assert (gone.occurred_at, gone.session, gone.scene_number) == (gone_at, None, None)
        assert watch.is_over
        assert list(manager.watch(session_id, after=gone.cursor)) == []

    def test_a_removal_that_was_not_read_yet_is_told_from_its_tombstone_though_what_came_before_was(
        self, open_manager: OpenManager, clock: ManualClock
    ) -> None:
        manager = open_manager(event_retention_days=1, tombstone_retention_days=30)
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        with manager.transaction():
            manager.add_scene_to_session(session_id, a_scene(1))
            manager.remove_session(session_id)
        (added,) = told(manager.watch(session_id, after=state.cursor), 1)
        clock.advance(hours=25)
        manager.create_session(a_request())
        assert wait_for_cleanup(manager)

        assert types(list(manager.watch(session_id, after=added.cursor))) == ["removed"]

    def test_a_session_that_is_made_again_at_once_is_another_one(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        manager.create_session(a_request(), session_id="again")
        watch = manager.watch("again")
        told(watch, 1)

        # At the same version, and on this clock at the same time: only the history tells them apart.
        with other.transaction():
            other.remove_session("again")
            other.create_session(a_request(), session_id="again")

        changes = list(watch)
        assert types(changes) == ["removed"]
        assert types(told(manager.watch("again", after=changes[-1].cursor), 1)) == ["created"]

    def test_a_watch_that_was_closed_gives_nothing_more_and_leaves_the_rest_to_its_cursor(
        self, manager: Manager
    ) -> None:
        session_id = create_in_status(manager, "processing")
        (state,) = told(manager.watch(session_id), 1)
        manager.add_scene_to_session(session_id, a_scene(1))
        manager.update_session_status(session_id, "completed")
        watch = manager.watch(session_id, after=state.cursor)
        told(watch, 1)

        watch.close()

        assert (list(watch), watch.is_over) == ([], False)
        assert types(list(manager.watch(session_id, after=watch.cursor))) == ["status_changed"]

    # What is refused, and what goes wrong

    def test_an_unknown_session_is_refused_at_the_call(self, manager: Manager) -> None:
        with pytest.raises(SessionNotFoundError, match="'nobody'"):
            manager.watch("nobody")
        with pytest.raises(SessionNotFoundError, match="'nobody'"):
            manager.watch("nobody", after="0-1-0")
        with pytest.raises(SessionNotFoundError, match="'nobody'"):
            manager.wait_for("nobody", 0)

    @pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), (math.nan, ValueError), ("1", TypeError)])
    def test_a_timeout_that_is_none_is_refused(self, manager: Manager, timeout: Any, error: type[Exception]) -> None:
        session_id = manager.create_session(a_request())

        with pytest.raises(error, match="timeout"):
            manager.watch(session_id, timeout=timeout)
        with pytest.raises(error, match="timeout"):
            manager.wait_for(session_id, timeout)

    def test_nobody_waits_inside_a_transaction(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        watch = manager.watch(session_id)

        with manager.transaction():
            with pytest.raises(SessionManagerError, match="inside a transaction"):
                manager.watch(session_id)
            with pytest.raises(SessionManagerError, match="inside a transaction"):
                next(watch)
            with pytest.raises(SessionManagerError, match="inside a transaction"):
                manager.wait_for(session_id, 1)

        assert types(told(watch, 1)) == ["state"]

    def test_a_shutdown_waits_for_no_watcher_and_tells_each(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        session_id = manager.create_session(a_request())
        watches = [manager.watch(session_id) for _ in range(3)]
        for watch in watches:
            told(watch, 1)

        with ThreadPoolExecutor(4) as pool:
            calls: list[Callable[[], object]] = [*(watch.__next__ for watch in watches)]
            calls.append(lambda: manager.wait_for(session_id, None))
            waiting = [pool.submit(call) for call in calls]
            assert manager.shutdown(PATIENCE_SECONDS)
            errors = [each.exception(PATIENCE_SECONDS) for each in waiting]

        assert [type(error) for error in errors] == [ManagerClosedError] * 4
        with pytest.raises(ManagerClosedError):
            next(watches[0])

    def test_a_callback_that_watches_does_not_outlast_the_shutdown(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        watches, is_waiting, errors = [], threading.Event(), []

        def callback(session_id: str, _: Any) -> None:
            watches.append(manager.watch(session_id))
            told(watches[0], 1)
            is_waiting.set()
            try:
                next(watches[0])
            except ManagerClosedError as error:
                errors.append(error)

        manager.register_session_callback("created", callback)
        with running(lambda: manager.create_session(a_request())):
            assert is_waiting.wait(PATIENCE_SECONDS)
            assert manager.shutdown(PATIENCE_SECONDS)

        assert len(errors) == 1

    def test_a_corrupted_session_is_reported_to_who_watches(self, open_manager: OpenManager, execute: Execute) -> None:
        manager = open_manager()
        session_id = create_in_status(manager, "processing")
        watch = manager.watch(session_id)
        told(watch, 1)

        execute(update(SessionRow).values(request_data="{}", version=SessionRow.version + 1, state_checksum=None))

        with pytest.raises(SessionCorruptedError):
            told(watch, 1)
        with pytest.raises(SessionCorruptedError):
            manager.watch(session_id)

    # What it costs

    def test_watchers_of_other_sessions_sleep_on_and_keep_up(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager, other = open_manager(), open_manager()
        quiet, busy = (create_in_status(manager, "processing") for _ in range(2))
        asleep, awake = manager.watch(quiet), manager.watch(busy)
        for watch in (asleep, awake):
            told(watch, 1)
        reads: list[str] = []
        read_on = SessionWatch._read_on

        def noted(watch: Watch) -> None:
            reads.append(watch._session_id)
            read_on(watch)

        monkeypatch.setattr(SessionWatch, "_read_on", noted)
        before = asleep.cursor
        with running(lambda: told(asleep, 1)) as waiting:
            for number in range(10):
                other.add_scene_to_session(busy, a_scene(number))
                told(awake, 1)
            until(lambda: asleep._follower.known_to == awake._follower.known_to)
            assert set(reads) == {busy}
            other.add_scene_to_session(quiet, a_scene(1))
            waiting.result(PATIENCE_SECONDS)

        assert before != asleep.cursor
        assert reads.count(quiet) == 1

    def test_the_thread_that_looks_ends_with_the_last_watch(self, manager: Manager) -> None:
        def is_looking() -> bool:
            return any(thread.name == "sessionstore-feed" for thread in threading.enumerate())

        sessions = [manager.create_session(a_request()) for _ in range(3)]
        dropped, closed, over = (manager.watch(session_id) for session_id in sessions)
        assert is_looking()

        del dropped
        closed.close()
        manager.update_session_status(sessions[2], "completed")
        assert types(told(over, 2)) == ["state", "status_changed"]
        with pytest.raises(WaitTimeoutError) as kept:
            manager.wait_for(sessions[0], 0)

        until(lambda: not is_looking())
        # Though an error that is kept holds on to what it came from.
        assert kept.value.session_id == sessions[0]
        assert types(told(manager.watch(sessions[0]), 1)) == ["state"]

    # wait_for

    def test_who_waits_gets_the_session_once_it_is_finished(self, open_manager: OpenManager) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")

        with running(lambda: manager.wait_for(session_id, PATIENCE_SECONDS)) as waiting:
            other.update_session_progress(session_id, 1, 2, "half")
            other.add_scene_to_session(session_id, a_scene(1))
            other.update_session_status(session_id, "failed", "boom")
            session = waiting.result(PATIENCE_SECONDS)

        assert session == saved(manager, session_id)
        assert (session.status, session.error_message) == (GenerationStatus.FAILED, "boom")

    @pytest.mark.parametrize("timeout", [0, math.inf, None])
    def test_a_finished_session_is_not_waited_for(self, manager: Manager, timeout: float | None) -> None:
        session_id = create_in_status(manager, "cancelled")

        assert manager.wait_for(session_id, timeout) == saved(manager, session_id)

    @pytest.mark.parametrize("timeout", [0, 0.05])
    def test_who_waited_too_long_is_told_how_the_session_stands(self, manager: Manager, timeout: float) -> None:
        session_id = create_in_status(manager, "processing")

        with pytest.raises(WaitTimeoutError, match=f"'{session_id}' is still processing after {timeout:g} s") as caught:
            manager.wait_for(session_id, timeout)

        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.session_id, caught.value.status, caught.value.seconds) == (
            session_id,
            "processing",
            timeout,
        )

    @pytest.mark.parametrize("is_made_again", [False, True])
    def test_who_waits_for_a_session_that_goes_is_told(self, open_manager: OpenManager, is_made_again: bool) -> None:
        manager, other = open_manager(), open_manager()
        manager.create_session(a_request(), session_id="going")

        with running(lambda: manager.wait_for("going", PATIENCE_SECONDS)) as waiting:
            until(lambda: any(thread.name == "sessionstore-feed" for thread in threading.enumerate()))
            with other.transaction():
                other.remove_session("going")
                if is_made_again:
                    other.create_session(a_request(), session_id="going")
            error = waiting.exception(PATIENCE_SECONDS)

        assert isinstance(error, SessionNotFoundError)

    def test_a_session_that_is_put_back_before_anybody_looked_is_waited_for_further(
        self, open_manager: OpenManager
    ) -> None:
        manager, other = open_manager(), open_manager()
        session_id = create_in_status(manager, "processing")

        with running(lambda: manager.wait_for(session_id, PATIENCE_SECONDS)) as waiting:
            until(lambda: any(thread.name == "sessionstore-feed" for thread in threading.enumerate()))
            with other.transaction():
                other.update_session_status(session_id, "failed", "boom")
                other.retry_session(session_id)
            other.update_session_status(session_id, "completed")

            assert waiting.result(PATIENCE_SECONDS).status is GenerationStatus.COMPLETED
