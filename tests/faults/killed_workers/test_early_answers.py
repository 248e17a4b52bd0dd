"""A person, or a program in the place of one, who answers for a held call faster than its run has ended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore import CallHeldError, Provider, SessionManager
from tests.concurrency import ask, manager_on, request

ANSWERS: dict[str, Callable[[SessionManager, str], bool]] = {
    "attach_job": lambda manager, call_id: manager.attach_job(call_id, "job-7"),
    "allow_retry": lambda manager, call_id: manager.allow_retry(call_id),
}


def cut_off(sent: object) -> str:
    raise OSError("the connection was cut off")


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_comes_before_the_session_has_failed_is_not_lost(database: Path, answer: str) -> None:
    """The call is held in one transaction, and its session fails in a later one: somebody else may come in between."""
    failing = Provider(name="images", submit=cut_off, fetch=lambda job_id: f"image of {job_id}")
    with manager_on(database, recovery_interval=None) as manager:
        session_id = manager.create_session(request())
        run = manager.track(session_id, "worker")

        def answer_at_once(error: CallHeldError) -> CallHeldError:
            assert ANSWERS[answer](manager, error.call_id)
            return error

        def work() -> None:
            with run:
                try:
                    run.call(failing, 1, "a fox")
                except CallHeldError as error:
                    raise answer_at_once(error)  # noqa: B904 - it is the same one

        with pytest.raises(CallHeldError):
            work()
        assert manager.list_held_calls() == []
        assert ask(database, "SELECT status FROM sessions") == [("pending",)]

        working = Provider(name="images", submit=lambda sent: "job-7", fetch=lambda job_id: f"image of {job_id}")
        with manager.track(session_id, "another") as next_run:
            assert next_run.call(working, 1, "a fox") == "image of job-7"
