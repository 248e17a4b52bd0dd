"""`find_tombstone`: "never existed" and "expired on Tuesday, completed" are two answers."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from sessionstore.models import GenerationStatus
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    create_in_status,
)


def _expire(manager: Manager, clock: ManualClock) -> None:
    clock.advance(hours=25)
    manager.cleanup_expired_sessions()


def _complete_and_clean_up(manager: Manager, clock: ManualClock) -> None:
    manager.update_session_status("mine", "completed")
    clock.advance(hours=7)
    manager.cleanup_completed_sessions()


def _fail_and_clean_up(manager: Manager, clock: ManualClock) -> None:
    manager.update_session_status("mine", "failed")
    manager.cleanup_failed_sessions()


WAYS_TO_GO: list[tuple[str, Callable[[Manager, ManualClock], object]]] = [
    ("expired", _expire),
    ("expired", _complete_and_clean_up),
    ("evicted", lambda manager, clock: manager.create_session(a_request())),
    ("removed", lambda manager, clock: manager.remove_session("mine")),
    ("cleared", lambda manager, clock: manager.force_cleanup_all()),
    ("cleared", _fail_and_clean_up),
]


class TombstonesContract(ContractGroup):
    """Every way to go leaves a tombstone, in the same transaction."""

    @pytest.mark.parametrize(
        ("reason", "way"), WAYS_TO_GO, ids=[f"{each[0]}-{number}" for number, each in enumerate(WAYS_TO_GO)]
    )
    def test_each_way_to_go_leaves_its_reason(
        self, open_manager: OpenManager, clock: ManualClock, reason: str, way: Callable[[Manager, ManualClock], object]
    ) -> None:
        manager = open_manager(max_sessions=1)
        manager.create_session(a_request(), session_id="mine")
        clock.advance(minutes=5)

        way(manager, clock)

        tombstone = manager.find_tombstone("mine")
        assert tombstone is not None
        assert (tombstone.session_id, tombstone.reason) == ("mine", reason)
        assert tombstone.gone_at == clock.now

    def test_a_tombstone_has_the_figures_of_its_session(self, manager: Manager, clock: ManualClock) -> None:
        created = clock.now
        session_id = manager.create_session(a_request(media_type="realistic", num_scenes=3))
        clock.advance(minutes=1)
        manager.update_session_status(session_id, "processing")
        manager.set_session_scenes(session_id, [a_scene(1), a_scene(2)])
        clock.advance(minutes=2)
        manager.update_session_status(session_id, "failed", "boom")
        clock.advance(minutes=4)

        manager.remove_session(session_id)

        tombstone = manager.find_tombstone(session_id)
        assert tombstone is not None
        assert (tombstone.status, tombstone.error_message) == (GenerationStatus.FAILED, "boom")
        assert (tombstone.media_type, tombstone.num_scenes, tombstone.scenes_done) == ("realistic", 3, 2)
        assert (tombstone.created_at, tombstone.started_at) == (created, created + timedelta(minutes=1))
        assert (tombstone.finished_at, tombstone.gone_at) == (created + timedelta(minutes=3), clock.now)
        assert (tombstone.queue_ms, tombstone.generation_ms) == (60_000, 120_000)

    def test_a_tombstone_keeps_nothing_of_the_story(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request("A secret fox."), metadata={"user": "secret"})
        manager.add_scene_to_session(session_id, a_scene(1, title="secret"))

        manager.remove_session(session_id)

        tombstone = manager.find_tombstone(session_id)
        assert tombstone is not None
        assert "secret" not in tombstone.model_dump_json()

    def test_a_session_that_never_was_has_no_tombstone(self, manager: Manager) -> None:
        assert manager.find_tombstone("nobody") is None

    def test_a_living_session_has_no_tombstone(self, manager: Manager) -> None:
        assert manager.find_tombstone(create_in_status(manager, "completed")) is None

    def test_of_an_id_that_was_used_twice_the_newest_tombstone_is_found(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        for status in ("completed", "cancelled"):
            create_in_status(manager, status, session_id="mine")
            clock.advance(minutes=1)
            manager.remove_session("mine")

        tombstone = manager.find_tombstone("mine")

        assert tombstone is not None
        assert tombstone.status is GenerationStatus.CANCELLED

    def test_a_tombstone_is_there_after_a_restart(self, open_manager: OpenManager) -> None:
        before = open_manager()
        session_id = create_in_status(before, "completed")
        before.remove_session(session_id)
        expected = before.find_tombstone(session_id)
        before.shutdown()

        assert expected is not None
        assert open_manager().find_tombstone(session_id) == expected
