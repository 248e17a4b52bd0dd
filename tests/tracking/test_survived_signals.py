"""Signals that a program survives: each is raised once, and leaves nothing behind for what it does next."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sessionstore import GenerationSession, LeaseLostError, SessionManager
from tests.concurrency import manager_on, request, wait_until
from tests.tracking.foreign import outcomes, status_of
from tests.tracking.stopping import shop_cut_short
from tests.tracking.test_signals import SignalAt, are_pythons_own
from tests.tracking.test_who_is_dead import is_waiting_to_write

# Points at which the end of a block begins; the test of every later one is elsewhere.
FIRST_POINTS = range(1, 40)


@pytest.fixture
def manager(database: Path) -> Iterator[SessionManager]:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        yield manager


def test_a_ctrl_c_in_a_call_that_ends_with_an_error_is_not_raised_once_more_by_a_later_call(
    manager: SessionManager,
) -> None:
    run = manager.track("s", "w")

    def lose(session: GenerationSession) -> None:
        signal.raise_signal(signal.SIGINT)
        raise LeaseLostError("it is gone", session_id="s", holder=None)

    with pytest.raises(KeyboardInterrupt), run:
        manager.with_session_lock("s", lose)
    assert manager.update_session_progress("s", 1, 2, "half")


def test_after_two_that_cut_a_job_id_short_the_next_run_begins_undisturbed(database: Path) -> None:
    with manager_on(database, recovery_interval=None, lock_timeout=0.5) as worker:
        worker.create_session(request(), session_id="s")
        with ExitStack() as outage:
            provider, impatient = shop_cut_short(database, outage, lambda: is_waiting_to_write(worker))
            with pytest.raises(KeyboardInterrupt), worker.track("s", "w") as run:
                run.call(provider, 1, "a picture")
            impatient.join()
        wait_until(lambda: status_of(database) == "pending", "the session to be given back")
        with worker.track("s", "next") as run:
            assert run.call(provider, 1, "a picture") == "job-1"
    assert outcomes(database) == ["released", "completed"]


def test_one_that_comes_when_the_block_is_about_to_end_leaves_no_session_and_no_handler_behind(
    manager: SessionManager, database: Path
) -> None:
    left: list[tuple[str | None, str, bool]] = []
    for point in FIRST_POINTS:
        session_id, at = manager.create_session(request()), SignalAt(point)
        try:
            with suppress(KeyboardInterrupt), manager.track(session_id, "w"):
                at.install()
        finally:
            sys.setprofile(None)
        if status_of(database, session_id) != "completed" or not are_pythons_own():
            left.append((at.where, status_of(database, session_id), are_pythons_own()))
    assert left == []
