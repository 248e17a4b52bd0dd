"""Many threads, and several managers on one database."""

import threading

from sessionstore.models import GenerationStatus
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    ContractGroup,
    Manager,
    OpenManager,
    Session,
    a_request,
    a_scene,
    at_once,
    elsewhere,
    listen,
    saved,
    scene_numbers,
)

THREADS = 16


class ConcurrencyContract(ContractGroup):
    """Every method may be called from any thread, and nobody's write is lost."""

    def test_sixteen_threads_on_one_session_lose_no_update(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(), metadata={"n": 0})

        def count_up(session: Session) -> None:
            session.metadata["n"] += 1

        def work() -> None:
            for _ in range(5):
                manager.with_session_lock(session_id, count_up)

        at_once(*[work] * THREADS)

        assert saved(manager, session_id).metadata == {"n": 5 * THREADS}

    def test_two_managers_on_one_database_lose_no_update(self, open_manager: OpenManager) -> None:
        managers = [open_manager(), open_manager()]
        session_id = managers[0].create_session(a_request(), metadata={"n": 0})

        def count_up(session: Session) -> None:
            session.metadata["n"] += 1

        def work(manager: Manager) -> None:
            for _ in range(10):
                manager.with_session_lock(session_id, count_up)

        at_once(*(lambda m=manager: work(m) for manager in managers * 2))

        assert saved(managers[0], session_id).metadata == {"n": 40}

    def test_a_bulk_update_and_locks_lose_no_update_of_each_other(self, manager: Manager) -> None:
        ids = [manager.create_session(a_request(), metadata={"n": 0}) for _ in range(3)]

        def count_up(session: Session) -> None:
            session.metadata["n"] += 1

        at_once(
            *[lambda: manager.bulk_update_sessions(ids, count_up)] * 4,
            *(lambda each=each: manager.with_session_lock(each, count_up) for each in ids),
        )

        assert [saved(manager, each).metadata["n"] for each in ids] == [5, 5, 5]

    def test_threads_with_sessions_of_their_own_do_not_mix_them_up(self, manager: Manager) -> None:
        def work(number: int) -> str:
            session_id = manager.create_session(a_request(f"Story {number}."))
            for scene_number in range(4):
                manager.add_scene_to_session(session_id, a_scene(scene_number, title=f"Story {number}"))
            manager.update_session_status(session_id, "completed")
            return session_id

        ids = at_once(*(lambda n=number: work(n) for number in range(THREADS)))

        for number, session_id in enumerate(ids):
            session = saved(manager, session_id)
            assert session.request_data.story_text == f"Story {number}."
            assert [scene.title for scene in session.scenes] == [f"Story {number}"] * 4
            assert session.status is GenerationStatus.COMPLETED

    def test_a_write_that_is_refused_does_not_harm_those_made_at_the_same_moment(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())
        manager.update_session_status(session_id, "processing")

        def add(number: int) -> bool:
            return manager.add_scene_to_session(session_id, a_scene(number))

        def refused() -> bool:
            return manager.update_session_status(session_id, "failed", expected_status="pending")

        results = at_once(*(lambda n=number: add(n) for number in range(8)), *[refused] * 8)

        assert results == [True] * 8 + [False] * 8
        assert sorted(scene_numbers(manager, session_id)) == list(range(8))

    def test_two_managers_on_one_database_see_each_others_writes_at_once(self, open_manager: OpenManager) -> None:
        first, second = open_manager(), open_manager()

        session_id = first.create_session(a_request())
        assert second.update_session_status(session_id, "processing")
        assert saved(first, session_id).status is GenerationStatus.PROCESSING
        first.add_scene_to_session(session_id, a_scene(1))
        assert scene_numbers(second, session_id) == [1]
        assert second.remove_session(session_id)

        assert first.get_session(session_id) is None
        assert first.find_tombstone(session_id) is not None

    def test_managers_may_open_one_empty_database_at_the_same_moment(self, open_manager: OpenManager) -> None:
        managers = at_once(*[open_manager] * 4)

        ids = [manager.create_session(a_request()) for manager in managers]

        assert {info["session_id"] for info in managers[0].get_all_sessions_info()} == set(ids)

    def test_callbacks_run_on_the_thread_that_made_the_change(self, manager: Manager) -> None:
        heard = listen(manager, "created")

        def work() -> tuple[str, int]:
            return manager.create_session(a_request()), threading.get_ident()

        made = at_once(*[work] * THREADS)

        assert {call.session_id: call.thread for call in heard} == dict(made)

    def test_a_callback_may_wait_for_another_thread_that_writes(self, manager: Manager) -> None:
        answers: list[str] = []

        def callback(session_id: str, session: Session) -> None:
            if session.metadata.get("first"):
                answers.append(elsewhere(lambda: manager.create_session(a_request())))

        manager.register_session_callback("created", callback)

        manager.create_session(a_request(), metadata={"first": True})

        assert len(answers) == 1
        assert manager.get_session_count() == 2

    def test_writers_of_other_sessions_go_on_while_a_callback_runs(self, manager: Manager) -> None:
        inside, release = threading.Event(), threading.Event()

        def callback(session_id: str, session: Session) -> None:
            inside.set()
            assert release.wait(PATIENCE_SECONDS)

        def slow() -> None:
            manager.update_session_status(first, "completed")

        def quick() -> bool:
            try:
                assert inside.wait(PATIENCE_SECONDS)
                return manager.update_session_status(second, "processing")
            finally:
                release.set()

        first, second = manager.create_session(a_request()), manager.create_session(a_request())
        manager.register_session_callback("completed", callback)

        assert at_once(slow, quick) == [None, True]
