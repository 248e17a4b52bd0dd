"""Opening, closing, and what is there again afterwards."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore.errors import ManagerClosedError, SessionManagerError
from sessionstore.manager import SessionManager
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    ContractGroup,
    Manager,
    OpenManager,
    Session,
    a_request,
    a_scene,
    at_once,
    create_in_status,
    lock_held_elsewhere,
    saved,
    scene_numbers,
)

CALLS: dict[str, Callable[[Manager], object]] = {
    "add_scene_to_session": lambda manager: manager.add_scene_to_session("mine", a_scene(1)),
    "allow_retry": lambda manager: manager.allow_retry("a call"),
    "atomic_session_update": lambda manager: manager.atomic_session_update("mine", {"error_message": "late"}),
    "attach_job": lambda manager: manager.attach_job("a call", "a job"),
    "backup": lambda manager: manager.backup(Path("never written")),
    "bulk_update_sessions": lambda manager: manager.bulk_update_sessions(["mine"], lambda _: None),
    "cancel_session": lambda manager: manager.cancel_session("mine"),
    "check": lambda manager: manager.check(),
    "claim_next_session": lambda manager: manager.claim_next_session("late"),
    "cleanup_completed_sessions": lambda manager: manager.cleanup_completed_sessions(),
    "cleanup_expired_sessions": lambda manager: manager.cleanup_expired_sessions(),
    "cleanup_failed_sessions": lambda manager: manager.cleanup_failed_sessions(),
    "count_expired_sessions": lambda manager: manager.count_expired_sessions(),
    "create_session": lambda manager: manager.create_session(a_request()),
    "find_tombstone": lambda manager: manager.find_tombstone("mine"),
    "force_cleanup_all": lambda manager: manager.force_cleanup_all(),
    "get_all_sessions_info": lambda manager: manager.get_all_sessions_info(),
    "get_health_status": lambda manager: manager.get_health_status(),
    "get_metrics": lambda manager: manager.get_metrics(),
    "get_performance_stats": lambda manager: manager.get_performance_stats(),
    "get_session": lambda manager: manager.get_session("mine"),
    "get_session_count": lambda manager: manager.get_session_count(),
    "get_sessions_by_status": lambda manager: manager.get_sessions_by_status("pending"),
    "list_held_calls": lambda manager: manager.list_held_calls(),
    "list_sessions": lambda manager: manager.list_sessions(),
    "reconfigure": lambda manager: manager.reconfigure(max_sessions=7),
    "recover_corrupted_session": lambda manager: manager.recover_corrupted_session("mine"),
    "recover_interrupted_sessions": lambda manager: manager.recover_interrupted_sessions(),
    "register_session_callback": lambda manager: manager.register_session_callback("created", lambda *_: None),
    "remove_session": lambda manager: manager.remove_session("mine"),
    "repair": lambda manager: manager.repair(),
    "report": lambda manager: manager.report("hourly"),
    "retry_session": lambda manager: manager.retry_session("mine"),
    "set_session_scenes": lambda manager: manager.set_session_scenes("mine", []),
    "snapshot": lambda manager: manager.snapshot(Path("never written")),
    "track": lambda manager: manager.track("mine", "late"),
    "transaction": lambda manager: manager.transaction().__enter__(),
    "unregister_session_callback": lambda manager: manager.unregister_session_callback("created", lambda *_: None),
    "update_session_progress": lambda manager: manager.update_session_progress("mine", 1, 2, "late"),
    "update_session_status": lambda manager: manager.update_session_status("mine", "failed"),
    "wait_for": lambda manager: manager.wait_for("mine", 1),
    "watch": lambda manager: manager.watch("mine"),
    "with_session_lock": lambda manager: manager.with_session_lock("mine", lambda _: None),
}
# These are no calls of an open manager.
NOT_CALLS = {"create_with_config", "settings", "shutdown"}


class LifecycleContract(ContractGroup):
    """`shutdown`, the context manager, and the restart after it."""

    def test_everything_is_there_after_a_restart(self, open_manager: OpenManager, clock: ManualClock) -> None:
        before = open_manager()
        session_id = before.create_session(a_request(seed=7), metadata={"n": [1, None]}, idempotency_key="order-1")
        clock.advance(minutes=1)
        before.update_session_status(session_id, "processing")
        before.set_session_scenes(session_id, [a_scene(3), a_scene(1, image_url="https://images.example/1.png")])
        before.update_session_progress(session_id, 2, 5, "drawing")
        clock.advance(minutes=1)
        before.update_session_status(session_id, "failed", "boom")
        expected = saved(before, session_id)
        before.shutdown()

        assert saved(open_manager(), session_id) == expected

    def test_sessions_stay_when_a_manager_is_shut_down(self, open_manager: OpenManager) -> None:
        before = open_manager()
        for status in ("processing", "completed", "failed"):
            create_in_status(before, status)
        before.shutdown()

        assert open_manager().get_session_count() == 3

    def test_a_shutdown_is_idempotent(self, manager: Manager) -> None:
        assert [manager.shutdown(), manager.shutdown(), manager.shutdown(timeout=0)] == [True, True, True]

    def test_shutdowns_at_the_same_moment_all_succeed(self, manager: Manager) -> None:
        assert at_once(*[manager.shutdown] * 4) == [True] * 4

    @pytest.mark.parametrize("name", sorted(CALLS))
    def test_every_call_after_a_shutdown_is_refused(
        self, open_manager: OpenManager, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        manager = open_manager()
        before = manager.create_session(a_request(), session_id="mine")
        manager.shutdown()

        with pytest.raises(ManagerClosedError):
            CALLS[name](manager)

        assert saved(open_manager(), before).version == 1

    def test_no_call_of_the_manager_is_missing_from_that_test(self) -> None:
        public = {name for name in vars(SessionManager) if not name.startswith("_")}

        assert public - NOT_CALLS == set(CALLS)

    def test_a_manager_is_shut_down_at_the_end_of_its_block(self, open_manager: OpenManager) -> None:
        with open_manager() as manager:
            session_id = manager.create_session(a_request())

        with pytest.raises(ManagerClosedError):
            manager.get_session_count()
        assert saved(open_manager(), session_id).session_id == session_id

    def test_an_error_that_ends_the_block_comes_through(self, open_manager: OpenManager) -> None:
        def work() -> None:
            with open_manager() as manager:
                manager.create_session(a_request())
                raise LookupError("no such style")

        with pytest.raises(LookupError, match="no such style"):
            work()

        assert open_manager().get_session_count() == 1

    def test_a_shutdown_lets_a_running_call_finish_what_it_began(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        session_id = manager.create_session(a_request())

        def last(session: Session) -> None:
            manager.add_scene_to_session(session_id, a_scene(1))
            session.metadata["done"] = True

        with lock_held_elsewhere(manager, session_id, last=last):
            assert manager.shutdown(timeout=0.05) is False
            with pytest.raises(ManagerClosedError):
                manager.get_session_count()

        assert manager.shutdown() is True
        restarted = open_manager()
        assert saved(restarted, session_id).metadata == {"done": True}
        assert scene_numbers(restarted, session_id) == [1]

    def test_a_shutdown_waits_for_a_running_call(self, open_manager: OpenManager) -> None:
        manager = open_manager()
        session_id = manager.create_session(a_request())
        refused, order = threading.Event(), []

        def wait_until_shut(session: Session) -> None:
            shutting.start()
            assert refused.wait(20)
            order.append("call")

        def shut_down() -> None:
            assert manager.shutdown()
            order.append("shutdown")

        def knock() -> None:
            while not refused.is_set():
                try:
                    manager.get_session_count()
                except ManagerClosedError:
                    refused.set()

        shutting, knocking = threading.Thread(target=shut_down), threading.Thread(target=knock)
        knocking.start()
        manager.with_session_lock(session_id, wait_until_shut)
        knocking.join()
        shutting.join()

        assert order == ["call", "shutdown"]

    def test_a_shutdown_inside_a_transaction_of_the_same_thread_is_refused(self, manager: Manager) -> None:
        with manager.transaction():
            session_id = manager.create_session(a_request())
            with pytest.raises(SessionManagerError):
                manager.shutdown()

        assert saved(manager, session_id).session_id == session_id

    def test_a_shutdown_ends_its_threads(self, open_manager: OpenManager) -> None:
        before = set(threading.enumerate())
        manager = open_manager(cleanup_interval=0.01)
        manager.get_session_count()

        manager.shutdown()

        assert set(threading.enumerate()) <= before

    def test_another_manager_on_the_database_goes_on(self, open_manager: OpenManager) -> None:
        first, second = open_manager(), open_manager()
        session_id = first.create_session(a_request())

        first.shutdown()

        assert second.update_session_status(session_id, "processing")

    def test_a_restart_on_the_same_database_changes_no_session(self, open_manager: OpenManager) -> None:
        before = open_manager()
        session_id = create_in_status(before, "processing")
        expected = saved(before, session_id)
        before.shutdown()
        open_manager().shutdown()

        assert saved(open_manager(), session_id) == expected
