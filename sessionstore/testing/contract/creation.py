"""`create_session`: one transaction that admits and inserts, and that can be repeated under its key."""

from uuid import UUID

import pytest

from sessionstore.errors import IdempotencyConflictError
from sessionstore.models import GenerationRequest, GenerationStatus
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    at_once,
    listen,
    saved,
)


class CreationContract(ContractGroup):
    """What a new session is, and when a creation gives one that was there."""

    def test_a_new_session_is_pending_and_carries_its_request(self, manager: Manager, clock: ManualClock) -> None:
        request = a_request(media_type="cartoon", num_scenes=3)

        session = saved(manager, manager.create_session(request))

        assert session.status is GenerationStatus.PENDING
        assert session.request_data == request
        assert (session.scenes, session.progress, session.error_message, session.metadata) == ([], None, None, {})
        assert (session.started_at, session.finished_at) == (None, None)
        assert (session.attempt, session.version) == (0, 1)
        assert session.created_at == session.updated_at == session.last_accessed == clock.now

    def test_a_request_may_be_a_mapping(self, manager: Manager) -> None:
        session_id = manager.create_session({"story_text": "  A fox. ", "num_scenes": 2})

        assert saved(manager, session_id).request_data == GenerationRequest(story_text="A fox.", num_scenes=2)

    def test_an_id_is_a_uuid_of_version_7_made_at_the_time_of_the_clock(
        self, manager: Manager, clock: ManualClock
    ) -> None:
        made = UUID(manager.create_session(a_request()))

        assert made.version == 7
        assert made.int >> 80 == int(clock.now.timestamp() * 1000)

    def test_ids_sort_by_the_time_they_were_made(self, manager: Manager, clock: ManualClock) -> None:
        ids = []
        for _ in range(10):
            ids.append(manager.create_session(a_request()))
            clock.advance(milliseconds=1)

        assert ids == sorted(ids)

    def test_the_caller_may_choose_the_id(self, manager: Manager) -> None:
        assert manager.create_session(a_request(), session_id="order 4711/ä") == "order 4711/ä"

        assert saved(manager, "order 4711/ä").session_id == "order 4711/ä"

    def test_metadata_comes_back_as_it_was(self, manager: Manager) -> None:
        metadata = {"user": "ä", "tags": ["a", None, True], "nested": {"score": 0.5, "big": 2**63 - 1}, "": ""}

        session_id = manager.create_session(a_request(), metadata=metadata)

        assert saved(manager, session_id).metadata == metadata

    def test_the_metadata_that_was_given_is_not_kept_hold_of(self, manager: Manager) -> None:
        metadata = {"tags": ["a"]}
        session_id = manager.create_session(a_request(), metadata=metadata)

        metadata["tags"].append("b")

        assert saved(manager, session_id).metadata == {"tags": ["a"]}

    # Repeating a creation

    def test_the_same_key_with_the_same_request_gives_the_same_session(self, manager: Manager) -> None:
        heard = listen(manager, "created")
        first = manager.create_session(a_request(), idempotency_key="order-1")

        again = manager.create_session(a_request(), idempotency_key="order-1")

        assert again == first
        assert manager.get_session_count() == 1
        assert len(heard) == 1

    def test_the_same_key_gives_the_same_session_after_a_restart(self, open_manager: OpenManager) -> None:
        before = open_manager()
        first = before.create_session(a_request(), idempotency_key="order-1")
        before.shutdown()

        assert open_manager().create_session(a_request(), idempotency_key="order-1") == first

    def test_a_default_that_is_written_out_makes_no_other_request(self, manager: Manager) -> None:
        first = manager.create_session(a_request(), idempotency_key="order-1")

        again = manager.create_session(a_request(media_type="cinematic", num_scenes=5), idempotency_key="order-1")

        assert again == first

    def test_the_same_key_with_another_request_is_a_conflict(self, manager: Manager) -> None:
        first = manager.create_session(a_request("One."), idempotency_key="order-1")

        with pytest.raises(IdempotencyConflictError) as caught:
            manager.create_session(a_request("Two."), idempotency_key="order-1")

        assert caught.value.session_id == first
        assert first in str(caught.value)
        assert manager.get_session_count() == 1

    def test_a_request_that_differs_in_the_kind_of_an_extra_value_is_another_request(self, manager: Manager) -> None:
        manager.create_session(a_request(seed=1), idempotency_key="order-1")

        with pytest.raises(IdempotencyConflictError):
            manager.create_session(a_request(seed=True), idempotency_key="order-1")

    def test_different_keys_make_different_sessions(self, manager: Manager) -> None:
        first = manager.create_session(a_request(), idempotency_key="order-1")

        assert manager.create_session(a_request(), idempotency_key="order-2") != first

    def test_a_key_lives_as_long_as_its_session(self, manager: Manager) -> None:
        first = manager.create_session(a_request("One."), idempotency_key="order-1")
        manager.remove_session(first)

        second = manager.create_session(a_request("Two."), idempotency_key="order-1")

        assert second != first
        assert saved(manager, second).request_data.story_text == "Two."

    def test_the_same_id_with_the_same_request_gives_the_same_session(self, manager: Manager) -> None:
        manager.create_session(a_request(), session_id="mine")

        assert manager.create_session(a_request(), session_id="mine") == "mine"
        assert manager.get_session_count() == 1

    def test_the_same_id_with_another_request_is_a_conflict(self, manager: Manager) -> None:
        manager.create_session(a_request("One."), session_id="mine")

        with pytest.raises(IdempotencyConflictError):
            manager.create_session(a_request("Two."), session_id="mine")

        assert saved(manager, "mine").request_data.story_text == "One."

    def test_repeating_a_creation_in_a_full_store_evicts_nobody(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=2)
        oldest = manager.create_session(a_request())
        newest = manager.create_session(a_request(), idempotency_key="order-1")

        assert manager.create_session(a_request(), idempotency_key="order-1") == newest
        assert manager.get_session(oldest) is not None

    def test_creations_with_one_key_at_the_same_moment_make_one_session(self, manager: Manager) -> None:
        def create() -> str:
            return manager.create_session(a_request(), idempotency_key="order-1")

        assert len(set(at_once(*[create] * 8))) == 1
        assert manager.get_session_count() == 1
