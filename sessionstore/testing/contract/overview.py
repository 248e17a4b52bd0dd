"""`get_all_sessions_info` and `get_sessions_by_status`: many sessions in a fixed number of statements."""

import pytest

from sessionstore.models import GenerationStatus
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


def create_many(manager: Manager, count: int) -> None:
    with manager.transaction():
        for _ in range(count):
            manager.add_scene_to_session(manager.create_session(a_request()), a_scene(1))


class OverviewContract(ContractGroup):
    """The ancestor's dictionaries and lists."""

    def test_the_info_of_a_session_has_the_ancestors_keys(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request(num_scenes=4))
        created = clock.now
        clock.advance(hours=1, minutes=30)
        manager.update_session_status(session_id, "processing")
        manager.add_scene_to_session(session_id, a_scene(1))
        manager.update_session_progress(session_id, 1, 3, "drawing")

        assert manager.get_all_sessions_info() == [
            {
                "session_id": session_id,
                "status": "processing",
                "created_at": created.isoformat(),
                "last_accessed": clock.now.isoformat(),
                "age_hours": 1.5,
                "num_scenes": 1,
                "progress": 33.3,
            }
        ]

    def test_infos_are_plain_text_and_numbers(self, manager: Manager) -> None:
        create_in_status(manager, "completed")

        (info,) = manager.get_all_sessions_info()

        kinds = {name: type(value).__name__ for name, value in info.items()}
        texts = dict.fromkeys(("session_id", "status", "created_at", "last_accessed"), "str")
        assert kinds == texts | {"age_hours": "float", "num_scenes": "int", "progress": "float"}

    @pytest.mark.parametrize(("status", "progress"), [("completed", 100.0), ("failed", 25.0), ("processing", 25.0)])
    def test_the_progress_of_an_info_is_the_sessions(self, manager: Manager, status: str, progress: float) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_progress(session_id, 1, 4, "")
        manager.update_session_status(session_id, status)

        (info,) = manager.get_all_sessions_info()

        assert info["progress"] == progress == saved(manager, session_id).get_completion_percentage()

    def test_a_read_shows_in_the_info_at_once(self, manager: Manager, clock: ManualClock) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(minutes=1)

        manager.get_session(session_id)

        (info,) = manager.get_all_sessions_info()
        assert info["last_accessed"] == clock.now.isoformat()

    def test_there_is_an_info_for_each_session_oldest_first(self, manager: Manager, clock: ManualClock) -> None:
        ids = []
        for _ in range(3):
            ids.append(manager.create_session(a_request()))
            clock.advance(minutes=1)

        assert [info["session_id"] for info in manager.get_all_sessions_info()] == ids

    def test_an_empty_store_has_no_infos(self, manager: Manager) -> None:
        assert manager.get_all_sessions_info() == []

    def test_infos_take_the_same_few_statements_whatever_the_number_of_sessions(self, manager: Manager) -> None:
        create_many(manager, 2)
        with statements_recorded() as few:
            manager.get_all_sessions_info()
        create_many(manager, 20)

        with statements_recorded() as many:
            assert len(manager.get_all_sessions_info()) == 22

        assert 1 <= len(few) == len(many) <= 2

    # By status

    @pytest.mark.parametrize("status", list(GenerationStatus))
    def test_the_sessions_of_a_status_are_those_and_no_others(self, manager: Manager, status: GenerationStatus) -> None:
        ids = {each: create_in_status(manager, each) for each in GenerationStatus}

        found = manager.get_sessions_by_status(status)

        assert [session.session_id for session in found] == [ids[status]]
        assert found[0].status is status

    def test_sessions_by_status_are_whole_and_oldest_first(self, manager: Manager, clock: ManualClock) -> None:
        ids = []
        for number in range(3):
            ids.append(create_in_status(manager, "processing", metadata={"n": number}))
            manager.set_session_scenes(ids[-1], [a_scene(number + 1), a_scene(number)])
            clock.advance(minutes=1)
        manager.add_scene_to_session(manager.create_session(a_request()), a_scene(9))

        found = manager.get_sessions_by_status("processing")

        assert [session.session_id for session in found] == ids
        assert [[scene.scene_number for scene in session.scenes] for session in found] == [[1, 0], [2, 1], [3, 2]]
        assert [session.metadata for session in found] == [{"n": 0}, {"n": 1}, {"n": 2}]

    def test_an_unknown_status_is_refused(self, manager: Manager) -> None:
        with pytest.raises(ValueError, match="status"):
            manager.get_sessions_by_status("finished")

    def test_sessions_by_status_take_two_statements_whatever_their_number(self, manager: Manager) -> None:
        create_many(manager, 2)
        with statements_recorded() as few:
            manager.get_sessions_by_status("pending")
        create_many(manager, 20)

        with statements_recorded() as many:
            assert len(manager.get_sessions_by_status("pending")) == 22

        assert 1 <= len(few) == len(many) <= 2
