"""Reading a session, moving it through its statuses, and removing it."""

import logging
from collections.abc import Callable

import pytest

from sessionstore.models import GenerationStatus, ProgressUpdate
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    at_once,
    create_in_status,
    saved,
)

TERMINAL = [status for status in GenerationStatus if status.is_terminal()]


class SessionsContract(ContractGroup):
    """`get_session`, `update_session_status`, `update_session_progress`, `remove_session`, `get_session_count`."""

    # Reading

    def test_an_absent_session_is_none_and_a_warning_in_the_log(
        self, manager: Manager, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "sessionstore"):
            assert manager.get_session("nobody") is None

        assert any(record.levelno == logging.WARNING and "nobody" in record.getMessage() for record in caplog.records)

    def test_a_session_that_was_handed_out_is_a_snapshot(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(), metadata={"tags": []})
        manager.add_scene_to_session(session_id, a_scene(1))
        mine = saved(manager, session_id)

        mine.status = GenerationStatus.FAILED
        mine.metadata["tags"].append("changed")
        mine.scenes.clear()
        mine.request_data.story_text = "Changed."

        session = saved(manager, session_id)
        assert session.status is GenerationStatus.PENDING
        assert session.metadata == {"tags": []}
        assert len(session.scenes) == 1
        assert session.request_data == a_request()

    def test_a_snapshot_does_not_follow_the_store(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        mine = saved(manager, session_id)

        manager.update_session_status(session_id, "processing")

        assert mine.status is GenerationStatus.PENDING

    def test_scenes_and_progress_are_read_from_one_moment(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        pairs: list[tuple[int, int]] = []
        done = False

        def write() -> None:
            nonlocal done
            try:
                for count in [1, 5, 2, 4, 3] * 10:
                    scenes = [a_scene(number) for number in range(count)]
                    progress = ProgressUpdate(current_step=count, total_steps=5, description="")
                    manager.atomic_session_update(session_id, {"scenes": scenes, "progress": progress})
            finally:
                done = True

        def read() -> None:
            while not done:
                session = saved(manager, session_id)
                pairs.append((len(session.scenes), session.progress.current_step if session.progress else 0))

        at_once(write, read)

        assert pairs
        assert [pair for pair in pairs if pair[0] != pair[1]] == []

    def test_reading_a_session_records_the_access(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)
        clock.advance(hours=1)

        session = saved(manager, session_id)

        assert session.last_accessed == clock.now
        assert (session.updated_at, session.version) == (before.updated_at, before.version)

    def test_an_access_is_still_known_after_a_restart(self, open_manager: OpenManager, clock: ManualClock) -> None:
        before = open_manager()
        session_id = before.create_session(a_request())
        clock.advance(hours=1)
        before.get_session(session_id)
        accessed = clock.now
        before.shutdown()
        clock.advance(hours=1)

        (info,) = open_manager().get_all_sessions_info()

        assert info["last_accessed"] == accessed.isoformat()

    # Status

    @pytest.mark.parametrize("status", list(GenerationStatus)[1:])
    def test_a_status_that_was_set_is_the_status(self, manager: Manager, status: GenerationStatus) -> None:
        session_id = manager.create_session(a_request())

        assert manager.update_session_status(session_id, status) is True

        assert saved(manager, session_id).status is status

    def test_the_status_of_an_absent_session_is_not_updated(self, manager: Manager) -> None:
        assert manager.update_session_status("nobody", GenerationStatus.FAILED) is False

    def test_an_unknown_status_is_refused_and_changes_nothing(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        with pytest.raises(ValueError, match="status"):
            manager.update_session_status(session_id, "finished")

        assert saved(manager, session_id).status is GenerationStatus.PENDING

    def test_a_stale_status_is_not_overwritten(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "cancelled")
        before = saved(manager, session_id)

        done = manager.update_session_status(session_id, "completed", "late", expected_status="processing")

        assert done is False
        assert saved(manager, session_id) == before

    def test_a_status_changes_from_the_expected_one(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")

        assert manager.update_session_status(session_id, "completed", expected_status=GenerationStatus.PROCESSING)

        assert saved(manager, session_id).status is GenerationStatus.COMPLETED

    def test_of_workers_that_expect_the_same_status_one_gets_the_session(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        def claim() -> bool:
            return manager.update_session_status(session_id, "processing", expected_status="pending")

        assert sorted(at_once(*[claim] * 8)) == [False] * 7 + [True]

    def test_the_first_active_status_sets_started_at(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(minutes=1)
        manager.update_session_status(session_id, "processing")
        started = clock.now
        clock.advance(minutes=1)

        manager.update_session_status(session_id, "downloading")

        session = saved(manager, session_id)
        assert (session.started_at, session.finished_at) == (started, None)

    @pytest.mark.parametrize("status", TERMINAL)
    def test_a_terminal_status_sets_finished_at(
        self, manager: Manager, clock: ManualClock, status: GenerationStatus
    ) -> None:
        session_id = create_in_status(manager, "processing")
        clock.advance(minutes=5)
        manager.update_session_status(session_id, status)
        finished = clock.now
        clock.advance(minutes=5)

        manager.update_session_status(session_id, status)

        assert saved(manager, session_id).finished_at == finished

    @pytest.mark.parametrize("status", TERMINAL)
    def test_leaving_a_terminal_status_takes_the_finish_and_the_error_back(
        self, manager: Manager, status: GenerationStatus
    ) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_status(session_id, status, "boom")

        manager.update_session_status(session_id, "pending")

        session = saved(manager, session_id)
        assert (session.finished_at, session.error_message) == (None, None)

    def test_an_error_message_is_kept_until_another_is_given(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")
        manager.update_session_status(session_id, "processing", "slow provider")

        manager.update_session_status(session_id, "downloading")

        assert saved(manager, session_id).error_message == "slow provider"

    def test_every_change_counts_the_version_and_moves_updated_at(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        changes: list[Callable[[], bool]] = [
            lambda: manager.update_session_status(session_id, "processing"),
            lambda: manager.update_session_progress(session_id, 1, 5, "drawing"),
            lambda: manager.add_scene_to_session(session_id, a_scene(1)),
            lambda: manager.set_session_scenes(session_id, [a_scene(2)]),
            lambda: manager.atomic_session_update(session_id, {"metadata": {"n": 1}}),
        ]
        for change in changes:
            before = saved(manager, session_id)
            clock.advance(seconds=1)

            assert change()

            session = saved(manager, session_id)
            assert session.version > before.version
            assert session.updated_at == clock.now

    # Progress

    def test_progress_that_was_told_is_the_progress(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_progress(session_id, 1, 3, "planning")

        assert manager.update_session_progress(session_id, 2, 3, "drawing") is True

        session = saved(manager, session_id)
        assert session.progress == ProgressUpdate(current_step=2, total_steps=3, description="drawing")
        assert session.get_completion_percentage() == 66.7

    def test_the_progress_of_an_absent_session_is_not_saved(self, manager: Manager) -> None:
        assert manager.update_session_progress("nobody", 1, 2, "") is False

    @pytest.mark.parametrize(("step", "total"), [(4, 3), (-1, 3), (0, 0), (1, -1)])
    def test_progress_that_is_nonsense_raises_and_saves_nothing(self, manager: Manager, step: int, total: int) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_progress(session_id, 1, 3, "planning")
        before = saved(manager, session_id)

        with pytest.raises(ValueError, match="step"):
            manager.update_session_progress(session_id, step, total, "nonsense")

        assert saved(manager, session_id) == before

    # Removal

    def test_a_removed_session_is_gone_with_its_scenes(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(), session_id="mine")
        manager.add_scene_to_session(session_id, a_scene(1))

        assert manager.remove_session(session_id) is True

        assert manager.get_session(session_id) is None
        manager.create_session(a_request(), session_id="mine")
        assert saved(manager, "mine").scenes == []

    def test_an_absent_session_is_not_removed(self, manager: Manager) -> None:
        assert manager.remove_session("nobody") is False

    def test_the_count_follows_creations_and_removals(self, manager: Manager) -> None:
        first, _ = manager.create_session(a_request()), manager.create_session(a_request())
        assert manager.get_session_count() == 2

        manager.remove_session(first)

        assert manager.get_session_count() == 1
