"""What the thread of the heartbeats does beside renewing: writes that were postponed, newcomers, and its log."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sessionstore import DatabaseUnavailableError, GenerationRun, Provider, SessionLockError, SessionManager
from sessionstore.persistence.unit import UnitOfWork
from tests.concurrency import ask, manager_on, request, wait_until
from tests.tracking.foreign import Outage, is_renewed, lease_end, outcomes, status_of

LEASE_SECONDS = 1
LONG_LEASE_SECONDS = 60
HEARTBEATS = "sessionstore.operations.heartbeats"
CALLS = "SELECT session_id, state, job_id FROM provider_calls ORDER BY session_id"


@pytest.fixture
def other(database: Path) -> Iterator[SessionManager]:
    """Of somebody else, who finds nobody dead by itself; with two sessions."""
    with manager_on(database, recovery_interval=None) as other:
        for session_id in ("a", "b"):
            other.create_session(request(), session_id=session_id)
        yield other


@pytest.fixture
def _no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postponed writes stay so, until the test has them made."""
    monkeypatch.setattr(f"{HEARTBEATS}.TICK_SECONDS", 3600.0)


def shop_of(submit: Callable[[Any], str]) -> Provider:
    return Provider(name="shop", submit=submit, fetch=lambda job_id: f"image of {job_id}", poll_seconds=0.01)


def buy_in_an_outage(run: GenerationRun[Any, Any], database: Path) -> None:
    """Buys for scene 1; from when the job is accepted until the run has ended, the database cannot be written."""
    with ExitStack() as outage:

        def submit(text: str) -> str:
            outage.enter_context(Outage(database))
            return f"job-{run.session_id}"

        with pytest.raises(SessionLockError), run:
            run.call(shop_of(submit), 1, "a picture")


# Writes that were postponed


def test_a_job_id_that_the_database_was_locked_for_is_recorded_by_the_thread_and_polled_by_the_next_run(
    other: SessionManager, database: Path
) -> None:
    with manager_on(database, recovery_interval=None, lock_timeout=0.1) as manager:
        buy_in_an_outage(manager.track("a", "w"), database)
        wait_until(lambda: status_of(database, "a") == "pending", "the session to be given back")
        assert ask(database, CALLS) == [("a", "submitted", "job-a")]
    with other.track("a", "next") as run:
        assert run.call(shop_of(lambda text: "bought twice"), 1, "a picture") == "image of job-a"


@pytest.mark.usefixtures("_no_ticks")
def test_at_the_latest_a_job_id_is_recorded_and_its_session_given_back_at_shutdown(
    other: SessionManager, database: Path
) -> None:
    manager = manager_on(database, recovery_interval=None, lock_timeout=0.1)
    buy_in_an_outage(manager.track("a", "w"), database)
    assert ask(database, CALLS) == [("a", "intended", None)]
    assert manager.shutdown()
    assert ask(database, CALLS) == [("a", "submitted", "job-a")]
    assert outcomes(database, "a") == ["released"]


@pytest.mark.usefixtures("_no_ticks")
@pytest.mark.parametrize("by", ["the thread", "shutdown"])
def test_a_job_id_of_a_session_that_was_claimed_meanwhile_is_dropped_and_blocks_nothing_behind_it(
    other: SessionManager, database: Path, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_on(database, recovery_interval=None, lock_timeout=0.1)
    for session_id in ("a", "b"):
        buy_in_an_outage(manager.track(session_id, "w"), database)
    other.update_session_status("a", "pending")
    owner = other.track("a", "next")
    caplog.clear()
    if by == "the thread":
        manager._store.heartbeats.renew_due()
        assert "a write that was postponed came too late: session 'a' is now attempt 2" in caplog.text
        assert manager._store.heartbeats._postponed == []
    assert manager.shutdown()
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "session 'a' is now attempt 2" in caplog.text
    assert ask(database, CALLS) == [("a", "intended", None), ("b", "submitted", "job-b")]
    assert (outcomes(database, "a"), outcomes(database, "b")) == (["released", None], ["released"])
    owner.release()


# Newcomers


def test_a_short_lease_that_begins_while_long_ones_are_being_renewed_is_renewed_too(
    other: SessionManager, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_renewing, has_begun = threading.Event(), threading.Event()
    with manager_on(database, recovery_interval=None) as manager:
        engine, heartbeats = manager._store.engine, manager._store.heartbeats
        write = engine.write

        def write_late(work: Any) -> Any:
            if threading.current_thread().name == "sessionstore-heartbeats" and not has_begun.is_set():
                is_renewing.set()
                assert has_begun.wait(10)
            return write(work)

        with manager.track("a", "w", lease_seconds=LONG_LEASE_SECONDS):
            monkeypatch.setattr(engine, "write", write_late)
            heartbeats._due_at = 0.0
            assert is_renewing.wait(10)
            with manager.track("b", "w", lease_seconds=LEASE_SECONDS):
                seen, until = lease_end(database, "b"), time.monotonic() + 3 * LEASE_SECONDS
                has_begun.set()
                wait_until(lambda: is_renewed(database, "b", seen) or time.monotonic() > until)
                assert is_renewed(database, "b", seen)


# What is logged


@pytest.mark.parametrize(
    ("lose", "level", "message"),
    [
        (lambda other: other.cancel_session("a"), logging.INFO, "session 'a' was cancelled"),
        (lambda other: other.update_session_status("a", "pending"), logging.WARNING, "session 'a' is no more yours"),
        (lambda other: other.remove_session("a"), logging.WARNING, "session 'a' is gone"),
    ],
    ids=["cancelled", "given back", "removed"],
)
def test_a_session_that_somebody_cancelled_is_no_warning_and_one_that_was_lost_is(
    other: SessionManager,
    database: Path,
    caplog: pytest.LogCaptureFixture,
    lose: Callable[[SessionManager], object],
    level: int,
    message: str,
) -> None:
    caplog.set_level(logging.INFO, HEARTBEATS)
    with manager_on(database, recovery_interval=None) as manager:
        run = manager.track("a", "gpu-1", lease_seconds=LEASE_SECONDS)
        lose(other)
        wait_until(lambda: caplog.records, "the loss to be noticed")
    assert [record.levelno for record in caplog.records] == [level]
    assert caplog.messages[0].startswith(f"worker gpu-1: {message}")
    assert run.session_id == "a"


def test_a_postponed_write_that_keeps_failing_costs_no_lease(database: Path) -> None:
    def fail(unit: UnitOfWork) -> None:
        raise DatabaseUnavailableError("the disk is full")

    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        with manager.track("s", "w", lease_seconds=1):
            manager._store.heartbeats.write_later(fail)
            claimed_until = lease_end(database, "s")
            wait_until(lambda: lease_end(database, "s") > claimed_until, "the lease to be renewed")
