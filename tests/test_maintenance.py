"""The background loop: it survives its passes, stops promptly, and does what it is told at once."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore import SessionLockError, SessionManager
from sessionstore.maintenance import Job, MaintenanceLoop, ShouldStop
from sessionstore.operations import accesses
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.concurrency import (
    PATIENCE_SECONDS,
    Caller,
    Holder,
    all_at_once,
    ask,
    engine_of,
    manager_on,
    queue_up,
    request,
)

A_DAY = 86_400.0


class Passes:
    """A job's passes: counted, and each signalled."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.count = 0
        self.happened = threading.Event()
        self._error = error

    def __call__(self, should_stop: ShouldStop) -> None:
        self.count += 1
        self.happened.set()
        if self._error is not None and self.count == 1:
            raise self._error


@pytest.fixture
def start() -> Callable[..., MaintenanceLoop]:
    def start_loop(*jobs: Job) -> MaintenanceLoop:
        loop = MaintenanceLoop(*jobs)
        loop.start()
        return loop

    return start_loop


Start = Callable[..., MaintenanceLoop]


def fill(manager: SessionManager, count: int) -> None:
    with manager.transaction():
        for number in range(count):
            manager.create_session(request(), session_id=f"old-{number}")


@pytest.mark.parametrize("error", [ValueError("broken pass"), SystemExit("a callback called sys.exit()")])
def test_a_pass_that_raises_is_logged_and_does_not_end_the_loop(
    start: Start, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    passes = Passes(error)
    job = Job("the test", passes, None)
    loop = start(job)
    loop.wait_for_pass(job, 2)
    assert loop.wait_for_pass(job, 2)
    assert passes.count == 2
    levels = [record.levelno for record in caplog.records if "the test" in record.getMessage()]
    assert levels == [logging.ERROR, logging.WARNING]
    assert loop.stop(PATIENCE_SECONDS)


def test_a_row_of_failures_is_logged_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: ShouldStop) -> None:
        raise ValueError("away")

    loop = start(job := Job("the test", fail, None))
    for _ in range(5):
        assert loop.wait_for_pass(job, PATIENCE_SECONDS)
    assert loop.stop(PATIENCE_SECONDS)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_job_that_keeps_failing_does_not_hold_up_another(start: Start) -> None:
    def fail(_: ShouldStop) -> None:
        raise ValueError("always")

    failing, sound = Job("failing", fail, 0.001), Passes()
    loop = start(failing, job := Job("sound", sound, A_DAY))
    assert loop.wait_for_pass(job, PATIENCE_SECONDS)
    assert loop.stop(PATIENCE_SECONDS)


def test_a_wake_begins_a_pass_long_before_it_is_due(start: Start) -> None:
    passes = Passes()
    loop = start(job := Job("the test", passes, A_DAY))
    loop.wake(job)
    assert passes.happened.wait(PATIENCE_SECONDS)
    assert loop.stop(PATIENCE_SECONDS)
    assert passes.count == 1


@pytest.mark.parametrize("before", [A_DAY, None])
def test_a_new_interval_takes_effect_during_the_wait(start: Start, before: float | None) -> None:
    passes = Passes()
    loop = start(job := Job("the test", passes, before))
    loop.set_interval(job, 0.001)
    assert passes.happened.wait(PATIENCE_SECONDS)
    assert loop.stop(PATIENCE_SECONDS)


def test_a_wait_for_a_pass_does_not_count_one_that_already_runs(start: Start) -> None:
    entered, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def slow(_: ShouldStop) -> None:
        entered.release()
        assert go_on.acquire(timeout=PATIENCE_SECONDS)

    loop = start(job := Job("the test", slow, None))
    loop.wake(job)
    assert entered.acquire(timeout=PATIENCE_SECONDS)
    waiting = Caller(lambda: loop.wait_for_pass(job, PATIENCE_SECONDS))
    go_on.release()
    assert entered.acquire(timeout=PATIENCE_SECONDS)
    assert not waiting.is_done()
    go_on.release()
    assert waiting.finish() is True
    assert loop.stop(PATIENCE_SECONDS)


def test_a_wait_for_a_pass_ends_at_its_timeout(start: Start) -> None:
    go_on = threading.Event()
    loop = start(job := Job("the test", lambda _: go_on.wait(PATIENCE_SECONDS), None))
    assert not loop.wait_for_pass(job, 0.05)
    assert not loop.stop(0.05)
    go_on.set()
    assert loop.stop(PATIENCE_SECONDS)


def test_an_interval_that_amounts_to_for_ever_does_not_end_the_loop(start: Start) -> None:
    passes = Passes()
    loop = start(job := Job("the test", passes, 1e12))
    assert loop.wait_for_pass(job, 2)
    assert loop.stop(PATIENCE_SECONDS)


def test_a_manager_that_stops_in_the_middle_of_many_batches_stops_after_the_running_one(
    database: Path, clock: ManualClock
) -> None:
    manager = manager_on(database, clock=clock, cleanup_batch_sessions=1, durability="normal")
    fill(manager, 300)
    clock.advance(hours=25)
    begun = threading.Event()
    manager.register_session_callback("expired", lambda *_: begun.set())
    waiting = Caller(lambda: wait_for_cleanup(manager, PATIENCE_SECONDS))
    assert begun.wait(PATIENCE_SECONDS)
    assert manager.shutdown(timeout=PATIENCE_SECONDS)
    waiting.join()
    ((left,),) = ask(database, "SELECT count(*) FROM sessions")
    ((buried,),) = ask(database, "SELECT count(*) FROM session_tombstones")
    # What is gone left its tombstone, and most were not waited for.
    assert left + buried == 300
    assert left > 0
    with manager_on(database, clock=clock) as manager:
        assert wait_for_cleanup(manager, PATIENCE_SECONDS)
        assert manager.get_session_count() == 0


def test_writers_get_in_between_the_batches_of_a_cleanup(database: Path, clock: ManualClock) -> None:
    with manager_on(database, clock=clock, cleanup_batch_sessions=1, durability="normal") as manager:
        fill(manager, 20)
        clock.advance(hours=25)
        writers: list[Caller] = []
        left_when_written: list[int] = []

        def write() -> None:
            manager.create_session(request(), session_id="new")
            left_when_written.append(manager.get_session_count() - 1)

        def have_a_writer_queue(*_: object) -> None:
            """Runs between the first batch and the second; whoever queues now comes before the third."""
            if not writers:
                writers.append(Caller(write))
                writers[0].join()

        manager.register_session_callback("expired", have_a_writer_queue)
        assert wait_for_cleanup(manager, PATIENCE_SECONDS)
        assert left_when_written == [19]
        assert manager.get_session_count() == 1


def test_a_writer_that_queues_during_a_batch_comes_before_the_next_one(
    database: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manager_on(database, clock=clock, cleanup_batch_sessions=5, durability="normal") as manager:
        fill(manager, 20)
        clock.advance(hours=25)
        left_when_written: list[int] = []
        writers: list[Caller] = []

        def write() -> None:
            def count(unit: UnitOfWork) -> None:
                left_when_written.append(unit.statistics.count())

            engine_of(manager).write(count)

        def queue_a_writer(*_: object) -> bool:
            if not writers:
                writers.extend(queue_up(manager, write))
            return False

        # A question that each batch asks inside its transaction.
        monkeypatch.setattr(manager._store.callbacks, "wants", queue_a_writer)
        assert manager.cleanup_expired_sessions() == 20
        writers[0].finish()
    assert left_when_written == [15]


def test_a_cleanup_that_fails_once_is_done_by_the_next_pass(
    database: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_on(database, clock=clock) as manager:
        fill(manager, 3)
        clock.advance(hours=25)
        refusal = "CREATE TRIGGER no BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END"
        engine_of(manager).write(lambda unit: unit._statements.core.exec_driver_sql(refusal))
        assert wait_for_cleanup(manager, PATIENCE_SECONDS)
        assert "a pass of the cleanup failed" in caplog.text
        assert manager.get_session_count() == 3
        engine_of(manager).write(lambda unit: unit._statements.core.exec_driver_sql("DROP TRIGGER no"))
        assert wait_for_cleanup(manager, PATIENCE_SECONDS)
        assert manager.get_session_count() == 0
        assert manager.get_health_status()["cleanup_active"] == "no"


def test_a_scheduled_cleanup_runs_by_itself(database: Path, clock: ManualClock) -> None:
    with manager_on(database, clock=clock, cleanup_interval=A_DAY) as manager:
        fill(manager, 3)
        clock.advance(hours=25)
        gone = threading.Semaphore(0)
        manager.register_session_callback("expired", lambda *_: gone.release())
        assert manager.get_health_status()["cleanup_active"] == "yes"
        manager.reconfigure(cleanup_interval=0.01)
        for _ in range(3):
            assert gone.acquire(timeout=PATIENCE_SECONDS)


def test_access_times_are_saved_within_the_touch_interval(database: Path, clock: ManualClock) -> None:
    with manager_on(database, clock=clock, touch_interval=0.01) as manager:
        fill(manager, 1)
        clock.advance(hours=1)
        manager.get_session("old-0")
        saved = Caller(lambda: wait_for_saved(database)).finish()
    assert saved == "2026-01-01 13:00:00.000"


def wait_for_saved(database: Path) -> str:
    pause = threading.Event()
    for _ in range(3000):
        ((saved,),) = ask(database, "SELECT last_accessed FROM sessions")
        if saved != "2026-01-01 12:00:00.000":
            return str(saved)
        pause.wait(0.01)
    raise AssertionError("the access time was never saved")


def test_cleanups_by_several_threads_and_managers_bury_each_session_once(database: Path, clock: ManualClock) -> None:
    with (
        manager_on(database, clock=clock, cleanup_batch_sessions=3) as first,
        manager_on(database, clock=clock, cleanup_batch_sessions=3) as second,
    ):
        fill(first, 40)
        clock.advance(hours=25)
        gone = all_at_once([first.cleanup_expired_sessions, second.cleanup_expired_sessions] * 3)
    assert sum(gone) == 40
    assert ask(database, "SELECT count(*), count(DISTINCT session_id) FROM session_tombstones") == [(40, 40)]


def test_any_number_of_access_times_is_saved_in_parts_that_hold_no_writer_up(
    database: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesses, "SAVED_AT_ONCE", 3)
    with manager_on(database, clock=clock) as manager:
        fill(manager, 10)
        clock.advance(minutes=1)
        for number in range(10):
            manager.get_session(f"old-{number}")
        before = sum_of_commits(manager)
        manager._store.accesses.save(engine_of(manager))
        assert sum_of_commits(manager) - before == 4
    assert ask(database, "SELECT DISTINCT last_accessed FROM sessions") == [("2026-01-01 12:01:00.000",)]


def test_access_times_that_could_not_be_saved_are_saved_the_next_time(
    database: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesses, "SAVED_AT_ONCE", 3)
    with manager_on(database, clock=clock, lock_timeout=0.05) as manager:
        fill(manager, 10)
        clock.advance(minutes=1)
        for number in range(10):
            manager.get_session(f"old-{number}")
        with Holder(manager), pytest.raises(SessionLockError):
            manager._store.accesses.save(engine_of(manager))
        manager._store.accesses.save(engine_of(manager))
    assert ask(database, "SELECT DISTINCT last_accessed FROM sessions") == [("2026-01-01 12:01:00.000",)]


def sum_of_commits(manager: SessionManager) -> int:
    return engine_of(manager)._checkpoints._commits
