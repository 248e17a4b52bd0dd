"""`atomic_session_update` and `bulk_update_sessions`: several changes of one session, one change of several."""

import logging
from typing import Any

import pytest

from sessionstore.models import GenerationStatus, ProgressUpdate
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    Session,
    a_request,
    a_scene,
    create_in_status,
    elsewhere,
    listen,
    saved,
)


class UpdatesContract(ContractGroup):
    """All or nothing for one session; each for itself, but in one transaction, for several."""

    def test_an_atomic_update_saves_everything_it_was_given(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(minutes=1)

        done = manager.atomic_session_update(
            session_id,
            {
                "status": "processing",
                "request_data": a_request("Another story."),
                "scenes": [a_scene(2), a_scene(1)],
                "progress": {"current_step": 1, "total_steps": 2, "description": "half"},
                "error_message": "slow",
                "metadata": {"n": 1},
            },
        )

        session = saved(manager, session_id)
        assert done is True
        assert (session.status, session.started_at) == (GenerationStatus.PROCESSING, clock.now)
        assert session.request_data == a_request("Another story.")
        assert session.scenes == [a_scene(2), a_scene(1)]
        assert session.progress == ProgressUpdate(current_step=1, total_steps=2, description="half")
        assert (session.error_message, session.metadata) == ("slow", {"n": 1})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("status", "finished"),
            ("request_data", {"story_text": ""}),
            ("scenes", [a_scene(1), a_scene(1)]),
            ("progress", {"current_step": 3, "total_steps": 2, "description": ""}),
            ("error_message", "\ud800"),
            ("metadata", {"score": float("inf")}),
        ],
    )
    def test_one_value_that_cannot_be_stored_leaves_all_as_it_was(
        self, manager: Manager, name: str, value: Any
    ) -> None:
        session_id = create_in_status(manager, "processing")
        before = saved(manager, session_id)
        good = {"status": "completed", "metadata": {"n": 1}, "scenes": [a_scene(1)], "error_message": "late"}

        with pytest.raises(ValueError, match=r"status|story_text|scene_number|current_step|error_message|metadata"):
            manager.atomic_session_update(session_id, good | {name: value})

        assert saved(manager, session_id) == before

    def test_none_empties_the_progress_and_the_error_message(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_progress(session_id, 1, 2, "half")
        manager.update_session_status(session_id, "failed", "boom")

        manager.atomic_session_update(session_id, {"progress": None, "error_message": None})

        session = saved(manager, session_id)
        assert (session.progress, session.error_message) == (None, None)

    def test_unknown_keys_are_ignored_with_a_warning(self, manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
        session_id = manager.create_session(a_request())

        with caplog.at_level(logging.WARNING, "sessionstore"):
            assert manager.atomic_session_update(session_id, {"metadata": {"n": 1}, "colour": "red"}) is True

        assert saved(manager, session_id).metadata == {"n": 1}
        assert any("colour" in record.getMessage() for record in caplog.records)

    @pytest.mark.parametrize("name", ["session_id", "created_at"])
    def test_an_update_cannot_change_the_id_or_the_creation_time(
        self, manager: Manager, clock: ManualClock, name: str
    ) -> None:
        session_id = manager.create_session(a_request())
        before = saved(manager, session_id)
        values = {"session_id": "other", "created_at": before.created_at.replace(year=2000)}

        manager.atomic_session_update(session_id, {name: values[name], "error_message": "told"})

        session = saved(manager, session_id)
        assert (session.session_id, session.created_at) == (session_id, before.created_at)
        assert session.error_message == "told"
        assert manager.get_session_count() == 1

    def test_an_absent_session_is_not_updated(self, manager: Manager) -> None:
        assert manager.atomic_session_update("nobody", {"status": "failed"}) is False

    # Several sessions

    def test_a_bulk_update_changes_each_session_and_counts_them(self, manager: Manager) -> None:
        ids = [manager.create_session(a_request()) for _ in range(3)]

        done = manager.bulk_update_sessions(ids, lambda session: session.metadata.update(seen=True))

        assert done == 3
        assert [saved(manager, each).metadata for each in ids] == [{"seen": True}] * 3

    def test_one_that_raises_is_logged_and_left_as_it_was(
        self, manager: Manager, caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = [manager.create_session(a_request()) for _ in range(3)]
        before = saved(manager, ids[1])

        def operation(session: Session) -> None:
            session.metadata["seen"] = True
            manager.add_scene_to_session(session.session_id, a_scene(1))
            if session.session_id == ids[1]:
                raise LookupError("no such style")

        with caplog.at_level(logging.WARNING, "sessionstore"):
            assert manager.bulk_update_sessions(ids, operation) == 2

        assert saved(manager, ids[1]) == before
        assert [saved(manager, each).metadata for each in (ids[0], ids[2])] == [{"seen": True}] * 2
        assert any(record.exc_info and record.exc_info[0] is LookupError for record in caplog.records)

    def test_one_whose_change_cannot_be_stored_is_left_as_it_was(self, manager: Manager) -> None:
        ids = [manager.create_session(a_request()) for _ in range(2)]

        def operation(session: Session) -> None:
            session.metadata["score"] = float("nan") if session.session_id == ids[0] else 1.0

        assert manager.bulk_update_sessions(ids, operation) == 1

        assert [saved(manager, each).metadata for each in ids] == [{}, {"score": 1.0}]

    def test_absent_ones_do_not_count_and_hold_nobody_up(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        done = manager.bulk_update_sessions(["nobody", session_id], lambda session: session.metadata.update(seen=True))

        assert done == 1
        assert saved(manager, session_id).metadata == {"seen": True}

    def test_a_bulk_update_is_one_transaction(self, manager: Manager) -> None:
        ids = [manager.create_session(a_request()) for _ in range(2)]
        seen_meanwhile: list[dict[str, Any]] = []

        def operation(session: Session) -> None:
            session.metadata["seen"] = True
            seen_meanwhile.append(elsewhere(lambda: saved(manager, ids[0]).metadata))

        manager.bulk_update_sessions(ids, operation)

        assert seen_meanwhile == [{}, {}]

    def test_a_bulk_update_calls_back_for_those_that_succeeded(self, manager: Manager) -> None:
        ids = [manager.create_session(a_request()) for _ in range(2)]
        heard = listen(manager, "completed")

        def operation(session: Session) -> None:
            session.status = GenerationStatus.COMPLETED
            if session.session_id == ids[0]:
                manager.update_session_status(ids[0], "completed")
                raise LookupError

        manager.bulk_update_sessions(ids, operation)

        assert [call.session_id for call in heard] == [ids[1]]
