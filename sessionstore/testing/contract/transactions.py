"""`transaction()`: everything the thread does inside commits together, or not at all."""

import pytest

from sessionstore.errors import SessionCapacityError, SessionManagerError
from sessionstore.models import GenerationStatus
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    create_in_status,
    elsewhere,
    listen,
    saved,
    scene_numbers,
)


class TransactionsContract(ContractGroup):
    """What belongs to a transaction, who sees it when, and what is heard of it."""

    def test_everything_inside_is_there_after_the_end(self, manager: Manager) -> None:
        gone = manager.create_session(a_request())

        with manager.transaction():
            made = manager.create_session(a_request())
            manager.add_scene_to_session(made, a_scene(1))
            manager.update_session_status(made, "processing")
            manager.remove_session(gone)

        session = saved(manager, made)
        assert (session.status, session.scenes) == (GenerationStatus.PROCESSING, [a_scene(1)])
        assert manager.get_session(gone) is None

    def test_nothing_inside_is_there_after_an_error(self, manager: Manager) -> None:
        kept = manager.create_session(a_request())
        before = saved(manager, kept)

        def work() -> None:
            with manager.transaction():
                manager.create_session(a_request(), session_id="never")
                manager.update_session_status(kept, "processing")
                manager.add_scene_to_session(kept, a_scene(1))
                manager.remove_session(kept)
                raise LookupError("no such style")

        with pytest.raises(LookupError, match="no such style"):
            work()

        assert saved(manager, kept) == before
        assert manager.get_session("never") is None
        assert manager.find_tombstone(kept) is None

    def test_the_thread_sees_its_own_changes_and_nobody_else_does_before_the_end(
        self, open_manager: OpenManager
    ) -> None:
        manager, other = open_manager(), open_manager()

        with manager.transaction():
            manager.create_session(a_request(), session_id="new")
            assert saved(manager, "new").session_id == "new"
            assert manager.get_session_count() == 1
            assert elsewhere(lambda: manager.get_session("new")) is None
            assert other.get_session("new") is None

        assert saved(other, "new").session_id == "new"

    def test_a_call_that_fails_inside_undoes_itself_and_nothing_else(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        with manager.transaction():
            manager.add_scene_to_session(session_id, a_scene(1))
            with pytest.raises(ValueError, match="scene_number"):
                manager.set_session_scenes(session_id, [a_scene(2), a_scene(2)])
            manager.add_scene_to_session(session_id, a_scene(3))

        assert scene_numbers(manager, session_id) == [1, 3]

    def test_a_creation_that_is_refused_inside_evicts_nobody(self, open_manager: OpenManager) -> None:
        unbounded = open_manager(max_sessions=None)
        ids = {create_in_status(unbounded, status) for status in ("completed", "processing", "processing")}
        manager = open_manager(max_sessions=1, eviction="finished")

        with manager.transaction():
            with pytest.raises(SessionCapacityError):
                manager.create_session(a_request())
            manager.update_session_status(max(ids), "failed")

        assert {info["session_id"] for info in manager.get_all_sessions_info()} == ids

    def test_an_inner_transaction_joins_the_outer_one(self, manager: Manager) -> None:
        def work() -> None:
            with manager.transaction():
                with manager.transaction():
                    manager.create_session(a_request(), session_id="inner")
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert manager.get_session("inner") is None

    def test_an_inner_transaction_whose_error_is_caught_is_undone_alone(self, manager: Manager) -> None:
        def inner() -> None:
            with manager.transaction():
                manager.create_session(a_request(), session_id="inner")
                raise LookupError

        with manager.transaction():
            manager.create_session(a_request(), session_id="outer")
            with pytest.raises(LookupError):
                inner()

        assert manager.get_session("inner") is None
        assert saved(manager, "outer").session_id == "outer"

    def test_locks_bulk_updates_and_cleanups_join_a_transaction(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "failed")
        before = saved(manager, session_id)

        def work() -> None:
            with manager.transaction():
                manager.with_session_lock(session_id, lambda session: session.metadata.update(n=1))
                manager.atomic_session_update(session_id, {"error_message": "boom"})
                assert manager.bulk_update_sessions([session_id], lambda session: session.metadata.update(n=2)) == 1
                assert manager.cleanup_failed_sessions() == 1
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert saved(manager, session_id) == before

    def test_a_transaction_that_is_undone_gives_the_evicted_back(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=1)
        oldest = manager.create_session(a_request())

        def work() -> None:
            with manager.transaction():
                manager.create_session(a_request())
                assert manager.get_session(oldest) is None
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert saved(manager, oldest).session_id == oldest
        assert manager.get_session_count() == 1

    def test_callbacks_wait_for_the_end(self, manager: Manager) -> None:
        heard = listen(manager, "created", "scene_added", "status_changed")

        with manager.transaction():
            session_id = manager.create_session(a_request())
            manager.add_scene_to_session(session_id, a_scene(1))
            manager.update_session_status(session_id, "processing")
            heard_inside = list(heard)

        assert heard_inside == []
        assert [call.event_type for call in heard] == ["created", "scene_added", "status_changed"]

    def test_each_callback_gets_the_session_as_its_change_left_it(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        heard = listen(manager, "progress")

        with manager.transaction():
            for step in (1, 2):
                manager.update_session_progress(session_id, step, 2, "drawing")

        assert [call.session.get_completion_percentage() for call in heard] == [50.0, 100.0]

    def test_nothing_is_heard_of_what_was_undone(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        heard = listen(manager, "created", "scene_added", "status_changed", "removed")

        def work() -> None:
            with manager.transaction():
                manager.create_session(a_request())
                manager.add_scene_to_session(session_id, a_scene(1))
                manager.update_session_status(session_id, "processing")
                manager.remove_session(session_id)
                raise LookupError

        with pytest.raises(LookupError):
            work()

        assert heard == []

    def test_nothing_is_heard_of_an_inner_part_that_was_undone(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        heard = listen(manager, "scene_added", "status_changed")

        def inner() -> None:
            with manager.transaction():
                manager.add_scene_to_session(session_id, a_scene(1))
                raise LookupError

        with manager.transaction():
            manager.update_session_status(session_id, "processing")
            with pytest.raises(LookupError):
                inner()

        assert [call.event_type for call in heard] == ["status_changed"]

    def test_the_thread_can_go_on_after_a_transaction_that_was_undone(self, manager: Manager) -> None:
        def work() -> None:
            with manager.transaction():
                raise LookupError

        with pytest.raises(LookupError):
            work()
        session_id = manager.create_session(a_request())

        assert elsewhere(lambda: saved(manager, session_id).session_id) == session_id

    def test_nobody_looks_for_interrupted_sessions_inside_a_transaction_which_keeps_owners_from_renewing(
        self, manager: Manager
    ) -> None:
        session_id = manager.create_session(a_request())

        with manager.transaction():
            manager.add_scene_to_session(session_id, a_scene(1))
            with pytest.raises(SessionManagerError, match="inside a transaction"):
                manager.recover_interrupted_sessions()

        assert scene_numbers(manager, session_id) == [1]
        assert manager.recover_interrupted_sessions() == 0
