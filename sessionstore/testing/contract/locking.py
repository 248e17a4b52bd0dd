"""`with_session_lock`: read, change and save as one step that nobody gets in between."""

import pytest

from sessionstore.errors import SessionLockError, SessionNotFoundError
from sessionstore.models import GenerationStatus, ProgressUpdate
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    Session,
    a_request,
    a_scene,
    create_in_status,
    elsewhere,
    listen,
    lock_held_elsewhere,
    saved,
    scene_numbers,
)


class LockingContract(ContractGroup):
    """The operation's changes are saved when it returns, and when it raises nothing is."""

    def test_the_lock_returns_what_the_operation_returns(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        assert manager.with_session_lock(session_id, lambda session: (session.session_id, 7)) == (session_id, 7)

    def test_what_the_operation_changed_is_saved(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request(), metadata={"tags": []})

        def operation(session: Session) -> None:
            session.status = GenerationStatus.FAILED
            session.error_message = "boom"
            session.progress = ProgressUpdate(current_step=1, total_steps=2, description="half")
            session.metadata["tags"].append("new")
            session.scenes.append(a_scene(4))
            session.request_data.story_text = "Another story."

        manager.with_session_lock(session_id, operation)

        session = saved(manager, session_id)
        assert (session.status, session.error_message) == (GenerationStatus.FAILED, "boom")
        assert session.finished_at == clock.now
        assert session.progress == ProgressUpdate(current_step=1, total_steps=2, description="half")
        assert session.metadata == {"tags": ["new"]}
        assert session.scenes == [a_scene(4)]
        assert session.request_data.story_text == "Another story."

    def test_a_scene_that_was_changed_in_place_is_saved(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.set_session_scenes(session_id, [a_scene(1), a_scene(2)])

        manager.with_session_lock(session_id, lambda session: setattr(session.scenes[1], "image_path", "/2.png"))

        assert saved(manager, session_id).scenes == [a_scene(1), a_scene(2, image_path="/2.png")]

    def test_a_change_between_values_that_python_calls_equal_is_saved(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(), metadata={"approved": 1})

        manager.with_session_lock(session_id, lambda session: session.metadata.update(approved=True))

        assert saved(manager, session_id).metadata["approved"] is True

    def test_an_operation_that_changes_nothing_leaves_the_session_as_it_was(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)
        heard = listen(manager, "updated", "status_changed", "scenes_set", "progress")

        manager.with_session_lock(session_id, lambda session: session.get_age_hours())

        assert saved(manager, session_id) == before
        assert heard == []

    def test_nothing_is_saved_of_an_operation_that_raises(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)

        def operation(session: Session) -> None:
            session.metadata["half"] = "done"
            manager.add_scene_to_session(session_id, a_scene(1))
            raise LookupError("no such style")

        with pytest.raises(LookupError, match="no such style"):
            manager.with_session_lock(session_id, operation)

        assert saved(manager, session_id) == before

    @pytest.mark.parametrize("name", ["session_id", "created_at"])
    def test_the_id_and_the_creation_time_cannot_change(self, manager: Manager, clock: ManualClock, name: str) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)
        clock.advance(hours=1)
        value = {"session_id": "other", "created_at": clock.now}[name]

        def operation(session: Session) -> None:
            session.error_message = "changed"
            setattr(session, name, value)

        with pytest.raises(ValueError, match=name):
            manager.with_session_lock(session_id, operation)

        assert saved(manager, session_id).model_dump(exclude={"last_accessed"}) == before.model_dump(
            exclude={"last_accessed"}
        )

    def test_a_change_that_cannot_be_stored_raises_and_saves_nothing(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)

        def operation(session: Session) -> None:
            session.error_message = "changed"
            session.metadata["score"] = float("nan")

        with pytest.raises(ValueError, match="metadata"):
            manager.with_session_lock(session_id, operation)

        assert saved(manager, session_id) == before

    def test_an_absent_session_cannot_be_locked(self, manager: Manager) -> None:
        calls: list[Session] = []

        with pytest.raises(SessionNotFoundError, match="nobody") as caught:
            manager.with_session_lock("nobody", calls.append)

        assert caught.value.session_id == "nobody"
        assert calls == []

    def test_a_lock_that_is_not_free_in_time_is_an_error_and_changes_nothing(self, open_manager: OpenManager) -> None:
        manager = open_manager(lock_timeout=0.1)
        session_id = manager.create_session(a_request())

        with lock_held_elsewhere(manager, session_id), pytest.raises(SessionLockError) as caught:
            manager.with_session_lock(session_id, lambda session: session.metadata.update(mine=True))

        assert caught.value.lock_timeout == 0.1
        assert saved(manager, session_id).metadata == {}

    def test_another_manager_has_to_wait_for_the_lock_as_well(self, open_manager: OpenManager) -> None:
        holder, other = open_manager(), open_manager(lock_timeout=0.1)
        session_id = holder.create_session(a_request())

        with lock_held_elsewhere(holder, session_id), pytest.raises(SessionLockError):
            other.update_session_status(session_id, "processing")

        assert saved(holder, session_id).status is GenerationStatus.PENDING

    def test_a_reader_waits_for_no_lock_and_sees_what_is_committed(self, open_manager: OpenManager) -> None:
        manager = open_manager(lock_timeout=0.1)
        session_id = manager.create_session(a_request())

        with lock_held_elsewhere(manager, session_id, last=lambda session: session.metadata.update(done=True)):
            assert saved(manager, session_id).metadata == {}

        assert saved(manager, session_id).metadata == {"done": True}

    # Joining

    def test_calls_inside_the_lock_join_its_transaction(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        def operation(session: Session) -> None:
            manager.add_scene_to_session(session_id, a_scene(1))
            assert scene_numbers(manager, session_id) == [1]
            assert elsewhere(lambda: scene_numbers(manager, session_id)) == []

        manager.with_session_lock(session_id, operation)

        assert scene_numbers(manager, session_id) == [1]

    def test_a_call_inside_the_lock_is_not_undone_by_what_the_operation_left_alone(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        def operation(session: Session) -> None:
            manager.add_scene_to_session(session_id, a_scene(1))
            manager.update_session_progress(session_id, 1, 2, "half")
            session.metadata["seen"] = True

        manager.with_session_lock(session_id, operation)

        session = saved(manager, session_id)
        assert session.scenes == [a_scene(1)]
        assert session.get_completion_percentage() == 50.0
        assert session.metadata == {"seen": True}

    def test_nested_locks_of_one_session_by_one_thread_join(self, open_manager: OpenManager) -> None:
        manager = open_manager(lock_timeout=0.5)
        session_id = manager.create_session(a_request())

        def outer(session: Session) -> int:
            return manager.with_session_lock(session_id, inner)

        def inner(session: Session) -> int:
            session.metadata["inner"] = True
            return 7

        assert manager.with_session_lock(session_id, outer) == 7

        assert saved(manager, session_id).metadata == {"inner": True}

    def test_an_inner_lock_that_raises_and_is_caught_leaves_the_outer_one_whole(self, manager: Manager) -> None:
        first, second = manager.create_session(a_request()), manager.create_session(a_request())

        def broken(session: Session) -> None:
            manager.update_session_status(second, "failed")
            raise LookupError

        def outer(session: Session) -> None:
            session.metadata["kept"] = True
            with pytest.raises(LookupError):
                manager.with_session_lock(second, broken)

        manager.with_session_lock(first, outer)

        assert saved(manager, first).metadata == {"kept": True}
        assert saved(manager, second).status is GenerationStatus.PENDING

    def test_an_inner_lock_is_undone_with_the_outer_one(self, manager: Manager) -> None:
        first, second = manager.create_session(a_request()), manager.create_session(a_request())

        def outer(session: Session) -> None:
            manager.with_session_lock(second, lambda inner: inner.metadata.update(n=1))
            raise LookupError

        with pytest.raises(LookupError):
            manager.with_session_lock(first, outer)

        assert saved(manager, second).metadata == {}

    def test_a_status_set_on_the_session_follows_the_one_set_by_a_call_inside(self, manager: Manager) -> None:
        session_id = create_in_status(manager, "processing")

        def operation(session: Session) -> None:
            manager.update_session_status(session_id, "failed", "first try")
            session.status = GenerationStatus.DOWNLOADING

        manager.with_session_lock(session_id, operation)

        session = saved(manager, session_id)
        assert session.status is GenerationStatus.DOWNLOADING
        assert (session.finished_at, session.error_message) == (None, None)
