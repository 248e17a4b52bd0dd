"""A session whose stored data no longer validates: how it is told, what still works, and how it is reset."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Executable, select, update

from sessionstore.errors import SessionCorruptedError
from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import SceneRow, SessionRow, SetAsideRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    listen,
    saved,
    scene_numbers,
)

UNSIGNED = {"state_checksum": None, "metadata_checksum": None, "request_checksum": None}

# JSON all of them, since an engine may refuse anything else; none of them what the store would write. Nobody signed it:
# what is another than was signed is damage, whether it validates or not.
BROKEN: dict[str, tuple[Executable, ...]] = {
    "request_data": (update(SessionRow).values(request_data='{"story_text": "", "num_scenes": 3}', **UNSIGNED),),
    "scenes": (
        update(SceneRow).where(SceneRow.scene_number == 1).values(payload='{"scene_number": 1}', checksum=None),
    ),
    "metadata": (update(SessionRow).values({SessionRow.__table__.c["metadata"]: "[1, 2]"} | UNSIGNED),),
    "progress": (update(SessionRow).values(progress_step=1, progress_total=2, progress_description=None, **UNSIGNED),),
}


class CountRequest(BaseModel):
    """No text can stand in for what it needs."""

    count: int


def create_broken(manager: Manager, execute: Execute, *parts: str) -> str:
    """A session with three scenes, of which these parts were then damaged; its id."""
    session_id = manager.create_session(a_request(), metadata={"n": 1})
    manager.set_session_scenes(session_id, [a_scene(0), a_scene(1), a_scene(2)])
    manager.update_session_progress(session_id, 1, 2, "half")
    for part in parts:
        for statement in BROKEN[part]:
            execute(statement)
    return session_id


class RecoveryContract(ContractGroup):
    """`recover_corrupted_session`, and `SessionCorruptedError` before it."""

    @pytest.mark.parametrize("part", BROKEN)
    def test_reading_what_no_longer_validates_says_which_part_of_which_session(
        self, manager: Manager, execute: Execute, part: str
    ) -> None:
        session_id = create_broken(manager, execute, part)

        with pytest.raises(SessionCorruptedError, match=session_id) as caught:
            manager.get_session(session_id)

        assert (caught.value.session_id, caught.value.where) == (session_id, part)

    @pytest.mark.parametrize("part", BROKEN)
    def test_recovery_fails_the_session_and_makes_it_readable(
        self, manager: Manager, execute: Execute, clock: ManualClock, part: str
    ) -> None:
        session_id = create_broken(manager, execute, part)
        clock.advance(minutes=1)

        assert manager.recover_corrupted_session(session_id) is True

        session = saved(manager, session_id)
        assert (session.status, session.finished_at) == (GenerationStatus.FAILED, clock.now)
        assert session.error_message == "Session recovered from corrupted state"

    def test_scenes_that_still_validate_stay(self, manager: Manager, execute: Execute) -> None:
        session_id = create_broken(manager, execute, "scenes", "request_data", "metadata", "progress")

        manager.recover_corrupted_session(session_id)

        assert scene_numbers(manager, session_id) == [0, 2]

    @pytest.mark.parametrize("part", BROKEN)
    def test_what_is_sound_is_left_alone(self, manager: Manager, execute: Execute, part: str) -> None:
        session_id = create_broken(manager, execute, part)

        manager.recover_corrupted_session(session_id)

        session = saved(manager, session_id)
        assert (session.request_data == a_request()) is (part != "request_data")
        assert (session.scenes == [a_scene(0), a_scene(1), a_scene(2)]) is (part != "scenes")
        assert (session.metadata == {"n": 1}) is (part != "metadata")
        assert (session.progress is not None) is (part != "progress")

    def test_fields_of_the_request_that_still_validate_stay(self, manager: Manager, execute: Execute) -> None:
        session_id = create_broken(manager, execute, "request_data")

        manager.recover_corrupted_session(session_id)

        assert saved(manager, session_id).request_data.num_scenes == 3

    @pytest.mark.parametrize(
        ("part", "text"), [("request_data", '"story_text"'), ("scenes", '"scene_number"'), ("metadata", "[1, 2]")]
    )
    def test_what_does_not_validate_is_kept_aside(
        self, manager: Manager, execute: Execute, part: str, text: str
    ) -> None:
        session_id = create_broken(manager, execute, part)

        manager.recover_corrupted_session(session_id)

        rows = execute(select(SetAsideRow.session_id, SetAsideRow.content))
        assert [row.session_id for row in rows] == [session_id]
        assert text in rows[0].content

    def test_a_scene_that_was_lost_can_be_made_again(self, manager: Manager, execute: Execute) -> None:
        session_id = create_broken(manager, execute, "scenes")
        manager.recover_corrupted_session(session_id)

        manager.add_scene_to_session(session_id, a_scene(1))

        assert sorted(scene_numbers(manager, session_id)) == [0, 1, 2]

    def test_a_sound_session_is_not_recovered(self, manager: Manager, execute: Execute) -> None:
        session_id = create_broken(manager, execute)
        before = saved(manager, session_id)

        assert manager.recover_corrupted_session(session_id) is False

        assert saved(manager, session_id) == before

    def test_a_recovered_session_is_sound(self, manager: Manager, execute: Execute) -> None:
        session_id = create_broken(manager, execute, "scenes")

        assert manager.recover_corrupted_session(session_id) is True
        assert manager.recover_corrupted_session(session_id) is False

    def test_an_absent_session_is_not_recovered(self, manager: Manager) -> None:
        assert manager.recover_corrupted_session("nobody") is False

    def test_a_request_nothing_can_stand_in_for_is_an_error_and_changes_nothing(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        manager = open_manager(request_model=CountRequest)
        session_id = manager.create_session(CountRequest(count=1))
        manager.update_session_status(session_id, "completed")
        execute(update(SessionRow).values(request_data="{}"))

        with pytest.raises(SessionCorruptedError) as caught:
            manager.recover_corrupted_session(session_id)

        assert caught.value.session_id == session_id
        assert [info["status"] for info in manager.get_all_sessions_info()] == ["completed"]
        assert execute(select(SetAsideRow.set_aside_id)) == []

    @pytest.mark.parametrize(
        ("announced", "go"),
        [
            ("removed", lambda manager, session_id: manager.remove_session(session_id)),
            ("removed", lambda manager, session_id: manager.force_cleanup_all()),
            ("expired", lambda manager, session_id: manager.cleanup_expired_sessions(0)),
            ("evicted", lambda manager, session_id: manager.reconfigure(max_sessions=1)),
        ],
    )
    @pytest.mark.parametrize("part", ["request_data", "scenes"])
    def test_a_corrupted_session_can_go_in_every_way_although_somebody_listens(
        self,
        manager: Manager,
        execute: Execute,
        clock: ManualClock,
        part: str,
        announced: str,
        go: Callable[[Manager, str], Any],
    ) -> None:
        session_id = create_broken(manager, execute, part)
        clock.advance(minutes=1)
        manager.create_session(a_request())
        listen(manager, announced)
        clock.advance(minutes=1)

        go(manager, session_id)

        assert session_id not in [info["session_id"] for info in manager.get_all_sessions_info()]
        assert manager.find_tombstone(session_id) is not None

    def test_a_corrupted_session_does_not_keep_others_from_being_read(self, manager: Manager, execute: Execute) -> None:
        create_broken(manager, execute, "request_data")
        sound = manager.create_session(a_request())

        assert saved(manager, sound).session_id == sound
        assert manager.get_performance_stats()["total_sessions"] == 2
        assert len(manager.get_all_sessions_info()) == 2

    def test_a_corrupted_session_is_left_out_of_a_bulk_update_and_holds_nobody_up(
        self, manager: Manager, execute: Execute
    ) -> None:
        broken = create_broken(manager, execute, "scenes")
        sound = manager.create_session(a_request())

        assert manager.bulk_update_sessions([broken, sound], lambda session: session.metadata.update(n=2)) == 1

        assert saved(manager, sound).metadata == {"n": 2}
