"""Saving scenes: each as it is made, or all at once."""

import pytest

from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    at_once,
    saved,
    scene_numbers,
)


class ScenesContract(ContractGroup):
    """`add_scene_to_session` and `set_session_scenes`."""

    def test_a_scene_that_was_added_comes_back_whole(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        scene = a_scene(0, image_url="https://images.example/0.png", image_path="/images/0.png", seed=7)

        assert manager.add_scene_to_session(session_id, scene) is True

        assert saved(manager, session_id).scenes == [scene]

    def test_a_scene_may_be_a_mapping(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        manager.add_scene_to_session(session_id, a_scene(1).model_dump())

        assert saved(manager, session_id).scenes == [a_scene(1)]

    def test_scenes_keep_the_order_in_which_they_were_added(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        for number in (3, 1, 2):
            manager.add_scene_to_session(session_id, a_scene(number))

        assert scene_numbers(manager, session_id) == [3, 1, 2]

    def test_a_scene_with_a_number_that_is_there_replaces_that_one_in_place(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.set_session_scenes(session_id, [a_scene(3), a_scene(1), a_scene(2)])

        manager.add_scene_to_session(session_id, a_scene(1, title="Better"))

        assert saved(manager, session_id).scenes == [a_scene(3), a_scene(1, title="Better"), a_scene(2)]

    def test_a_scene_added_after_a_replacement_of_all_stands_last(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.set_session_scenes(session_id, [a_scene(5), a_scene(4)])

        manager.add_scene_to_session(session_id, a_scene(1))

        assert scene_numbers(manager, session_id) == [5, 4, 1]

    def test_setting_scenes_replaces_all_and_keeps_their_order(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.set_session_scenes(session_id, [a_scene(1), a_scene(2)])

        assert manager.set_session_scenes(session_id, [a_scene(9), a_scene(2, title="New"), a_scene(4)]) is True

        assert saved(manager, session_id).scenes == [a_scene(9), a_scene(2, title="New"), a_scene(4)]

    def test_scenes_may_come_from_any_iterable(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        manager.set_session_scenes(session_id, (a_scene(number) for number in (2, 1)))

        assert scene_numbers(manager, session_id) == [2, 1]

    def test_setting_no_scenes_takes_all_away(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.add_scene_to_session(session_id, a_scene(1))

        assert manager.set_session_scenes(session_id, []) is True

        assert saved(manager, session_id).scenes == []

    def test_a_scene_number_given_twice_raises_and_changes_nothing(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.set_session_scenes(session_id, [a_scene(1)])

        with pytest.raises(ValueError, match="scene_number"):
            manager.set_session_scenes(session_id, [a_scene(2), a_scene(3), a_scene(2)])

        assert scene_numbers(manager, session_id) == [1]

    def test_an_absent_session_gets_no_scenes(self, manager: Manager) -> None:
        assert manager.add_scene_to_session("nobody", a_scene(1)) is False
        assert manager.set_session_scenes("nobody", [a_scene(1)]) is False

        manager.create_session(a_request(), session_id="nobody")
        assert saved(manager, "nobody").scenes == []

    def test_sessions_keep_their_scenes_apart(self, manager: Manager) -> None:
        first, second = manager.create_session(a_request()), manager.create_session(a_request())
        manager.add_scene_to_session(first, a_scene(1, title="First"))

        manager.set_session_scenes(second, [a_scene(1, title="Second")])

        assert [saved(manager, each).scenes[0].title for each in (first, second)] == ["First", "Second"]

    def test_scenes_added_by_many_threads_are_all_there(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        at_once(*(lambda n=number: manager.add_scene_to_session(session_id, a_scene(n)) for number in range(16)))

        assert sorted(scene_numbers(manager, session_id)) == list(range(16))

    def test_a_worker_finds_the_scenes_that_were_saved_before_a_restart(self, open_manager: OpenManager) -> None:
        before = open_manager()
        session_id = before.create_session(a_request(num_scenes=4))
        for number in (1, 3):
            before.add_scene_to_session(session_id, a_scene(number))
        before.shutdown()

        session = saved(open_manager(), session_id)

        assert [number for number in range(1, 5) if session.get_scene_by_number(number) is None] == [2, 4]
