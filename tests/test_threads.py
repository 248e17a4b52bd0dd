"""Many threads on one manager, or on several of one file."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionstore import GenerationSession, GenerationStatus, SessionLockError, SessionManager
from tests.concurrency import Caller, Holder, all_at_once, ask, manager_on, request, scene

THREADS = 16


def add_one(session: GenerationSession) -> None:
    session.metadata["count"] = session.metadata.get("count", 0) + 1


def test_sixteen_threads_on_one_session_lose_no_update(database: Path) -> None:
    with manager_on(database) as manager:
        session_id = manager.create_session(request())

        def add_ten() -> None:
            for _ in range(10):
                manager.with_session_lock(session_id, add_one)

        all_at_once([add_ten] * THREADS)
        session = manager.get_session(session_id)
    assert session is not None
    assert session.metadata == {"count": 10 * THREADS}


def test_scenes_that_sixteen_threads_add_are_all_there_and_readers_only_ever_see_whole_states(database: Path) -> None:
    with manager_on(database) as manager:
        session_id = manager.create_session(request())
        finished = threading.Event()

        def add_five(first: int) -> None:
            for number in range(first, first + 5):
                with manager.transaction():
                    manager.add_scene_to_session(session_id, scene(number))
                    manager.with_session_lock(session_id, add_one)

        def read() -> None:
            seen = 0
            while not finished.is_set():
                session = manager.get_session(session_id)
                assert session is not None
                assert len(session.scenes) == session.metadata.get("count", 0)
                assert len(session.scenes) >= seen
                seen = len(session.scenes)

        readers = [Caller(read) for _ in range(4)]
        try:
            all_at_once([partial(add_five, 5 * first) for first in range(THREADS)])
        finally:
            finished.set()
        for reader in readers:
            reader.finish()
        session = manager.get_session(session_id)
    assert session is not None
    assert sorted(each.scene_number for each in session.scenes) == list(range(5 * THREADS))


def test_threads_that_mix_all_kinds_of_writes_lose_none(database: Path) -> None:
    with manager_on(database) as manager:
        shared = manager.create_session(request())

        def work(number: int) -> str:
            own = manager.create_session(request(), session_id=f"own-{number}")
            assert manager.update_session_status(own, "processing")
            assert manager.add_scene_to_session(shared, scene(number))
            manager.with_session_lock(shared, add_one)
            assert manager.atomic_session_update(own, {"metadata": {"number": number}})
            assert manager.bulk_update_sessions([own], lambda each: setattr(each, "error_message", "x")) == 1
            assert manager.update_session_status(own, "completed", expected_status="processing")
            return own

        owned = all_at_once([partial(work, number) for number in range(THREADS)])
        completed = {each.session_id: each for each in manager.get_sessions_by_status(GenerationStatus.COMPLETED)}
        session = manager.get_session(shared)
    assert session is not None
    assert session.metadata == {"count": THREADS}
    assert len(session.scenes) == THREADS
    assert {own: completed[own].metadata["number"] for own in owned} == {f"own-{n}": n for n in range(THREADS)}


def test_only_one_of_many_threads_wins_a_guarded_change_of_status(database: Path) -> None:
    with manager_on(database) as manager:
        session_id = manager.create_session(request())
        claims = all_at_once(
            [lambda: manager.update_session_status(session_id, "processing", expected_status="pending")] * THREADS
        )
    assert sorted(claims) == [False] * (THREADS - 1) + [True]


def test_threads_that_create_under_one_key_make_one_session(database: Path) -> None:
    with manager_on(database) as manager:
        ids = all_at_once([lambda: manager.create_session(request(), idempotency_key="order-7")] * THREADS)
        assert len(set(ids)) == 1
        assert manager.get_session_count() == 1


def test_callbacks_run_after_the_commit_on_the_thread_that_wrote(database: Path) -> None:
    with manager_on(database) as manager:
        session_id = manager.create_session(request())
        heard: list[tuple[int, bool]] = []

        def callback(_: str, session: GenerationSession) -> None:
            number = session.scenes[-1].scene_number
            committed = ask(database, "SELECT 1 FROM scenes WHERE scene_number = ?", number)
            heard.append((threading.get_ident(), bool(committed)))

        def add(number: int) -> int:
            assert manager.add_scene_to_session(session_id, scene(number))
            return threading.get_ident()

        manager.register_session_callback("scene_added", callback)
        writers = all_at_once([partial(add, number) for number in range(THREADS)])
    assert sorted(heard) == sorted((writer, True) for writer in writers)


def test_a_callback_may_call_the_manager_and_write(database: Path) -> None:
    with manager_on(database) as manager:
        session_id = manager.create_session(request())

        def complete(session_id: str, session: GenerationSession) -> None:
            if len(session.scenes) == THREADS:
                manager.update_session_status(session_id, "completed")

        manager.register_session_callback("scene_added", complete)
        all_at_once([partial(manager.add_scene_to_session, session_id, scene(number)) for number in range(THREADS)])
        session = manager.get_session(session_id)
    assert session is not None
    assert session.status is GenerationStatus.COMPLETED


def test_callbacks_of_a_transaction_wait_for_its_commit_and_are_dropped_with_it(database: Path) -> None:
    heard: list[str] = []

    def fail() -> None:
        with manager.transaction():
            manager.create_session(request(), session_id="never")
            raise ValueError("no")

    with manager_on(database) as manager:
        manager.register_session_callback("created", lambda session_id, _: heard.append(session_id))
        with manager.transaction():
            manager.create_session(request(), session_id="a")
            assert heard == []
        with pytest.raises(ValueError, match="no"):
            fail()
    assert heard == ["a"]


def test_nested_locks_by_one_thread_join_one_transaction(database: Path) -> None:
    with manager_on(database) as manager:
        for session_id in ("a", "b"):
            manager.create_session(request(), session_id=session_id)

        def outer(session: GenerationSession) -> int:
            session.metadata["outer"] = 1
            manager.with_session_lock("b", add_one)
            manager.with_session_lock("b", add_one)
            assert ask(database, "SELECT count(*) FROM sessions WHERE metadata <> '{}'") == [(0,)]
            return 7

        assert manager.with_session_lock("a", outer) == 7
        found = {each.session_id: each.metadata for each in manager.get_sessions_by_status("pending")}
    assert found == {"a": {"outer": 1}, "b": {"count": 2}}


def test_an_inner_failure_that_is_caught_undoes_only_the_inner_part(database: Path) -> None:
    heard: list[str] = []

    def fail(session: GenerationSession) -> None:
        manager.add_scene_to_session("a", scene(99))
        with manager.transaction():
            manager.create_session(request(), session_id="undone")
        raise ValueError("inner")

    def outer(session: GenerationSession) -> None:
        manager.create_session(request(), session_id="before")
        with pytest.raises(ValueError, match="inner"):
            manager.with_session_lock("a", fail)
        manager.create_session(request(), session_id="after")

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        manager.register_session_callback("created", lambda session_id, _: heard.append(session_id))
        manager.with_session_lock("a", outer)
    assert ask(database, "SELECT session_id FROM sessions ORDER BY 1") == [("a",), ("after",), ("before",)]
    assert ask(database, "SELECT count(*) FROM scenes") == [(0,)]
    assert heard == ["before", "after"]


def test_an_outer_failure_undoes_inner_parts_that_succeeded(database: Path) -> None:
    def outer(session: GenerationSession) -> None:
        session.metadata["x"] = 1
        manager.create_session(request(), session_id="inner")
        raise RuntimeError("outer")

    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        with pytest.raises(RuntimeError, match="outer"):
            manager.with_session_lock("a", outer)
        assert manager.get_session("inner") is None
        session = manager.get_session("a")
    assert session is not None
    assert session.metadata == {}


def test_other_threads_do_not_see_or_join_a_running_transaction(database: Path) -> None:
    with manager_on(database) as manager:
        manager.create_session(request(), session_id="a")
        with manager.transaction():
            manager.create_session(request(), session_id="b")
            assert Caller(manager.get_session_count).finish() == 1
            assert manager.get_session_count() == 2
            outsider = Caller(lambda: manager.create_session(request(), session_id="c"))
            assert Caller(lambda: manager.get_session("c")).finish() is None
        assert outsider.finish() == "c"
        assert manager.get_session_count() == 3


def test_two_managers_on_one_file_see_each_others_writes_at_once(database: Path) -> None:
    with manager_on(database) as first, manager_on(database) as second:
        shared = first.create_session(request())

        def add_ten(manager: SessionManager) -> None:
            for _ in range(10):
                manager.with_session_lock(shared, add_one)

        all_at_once([partial(add_ten, manager) for manager in [first, second] * 4])
        for writer, reader in ((first, second), (second, first)):
            session_id = writer.create_session(request())
            assert reader.get_session(session_id) is not None
            assert reader.remove_session(session_id)
            assert writer.get_session(session_id) is None
        session: Any = second.get_session(shared)
    assert session.metadata == {"count": 80}


def test_a_lock_that_is_not_free_in_time_is_an_error_that_changes_nothing_and_later_calls_work(database: Path) -> None:
    with manager_on(database, lock_timeout=0.1) as manager:
        session_id = manager.create_session(request())
        with Holder(manager):
            with pytest.raises(SessionLockError) as caught:
                manager.with_session_lock(session_id, add_one)
            with pytest.raises(SessionLockError):
                manager.add_scene_to_session(session_id, scene(1))
            assert manager.get_session(session_id) is not None
        manager.with_session_lock(session_id, add_one)
        session = manager.get_session(session_id)
    assert caught.value.lock_timeout == 0.1
    assert session is not None
    assert (session.metadata, session.scenes) == ({"count": 1}, [])
