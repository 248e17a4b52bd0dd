"""SIGTERM and Ctrl-C of a program that survives them: when they are raised, and what they leave behind."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from sessionstore import GenerationRun, Provider, SessionManager
from sessionstore.operations.termination import Termination
from tests.concurrency import ask, manager_on, request, wait_until
from tests.interruption import InterruptAt, Interruption
from tests.tracking.foreign import outcomes, status_of
from tests.tracking.stopping import shop_cut_short
from tests.tracking.test_who_is_dead import is_waiting_to_write
from tests.tracking.workers import TrackingWorker

TERMINATED = 128 + signal.SIGTERM
CALLS = "SELECT state, job_id FROM provider_calls"

either_signal = pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)], ids=["SIGTERM", "Ctrl-C"]
)


@pytest.fixture(autouse=True)
def _pythons_own_handlers() -> Iterator[None]:
    """Whoever runs the tests may have others, or have been started in the background of a shell."""
    own: dict[signal.Signals, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def manager(database: Path) -> Iterator[SessionManager]:
    with manager_on(database, recovery_interval=None) as manager:
        manager.create_session(request(), session_id="s")
        yield manager


def are_pythons_own() -> bool:
    """Whether the signals do what they do in a program that knows nothing of this store."""
    return (
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def work(run: GenerationRun, number: signal.Signals) -> None:
    """A block in which the signal comes, and is raised at once."""
    with run:
        signal.raise_signal(number)


# A second run of a program that survived the first signal


@either_signal
def test_after_a_ctrl_c_that_was_survived_the_first_signal_lets_the_next_submit_finish_too(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    with TrackingWorker("survive", database) as worker:
        worker.expect("thinking")
        worker.send(signal.SIGINT)
        worker.expect("survived")
        worker.expect("submitting")
        worker.send(number)
        assert worker.line() == ""
        assert worker.wait() == (TERMINATED if error is SystemExit else -signal.SIGINT)
    assert outcomes(database) == ["released", "released"]
    assert ask(database, CALLS) == [("submitted", "job-1")]


@either_signal
def test_the_handlers_are_pythons_own_again_after_every_block(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    for _ in range(3):
        with pytest.raises(error):
            work(manager.track("s", "w"), number)
        assert are_pythons_own()
    with manager.track("s", "w"):
        assert not are_pythons_own()
    assert are_pythons_own()
    assert outcomes(database) == ["released"] * 3 + ["completed"]


@either_signal
def test_a_submit_that_is_going_on_finishes_however_often_a_signal_was_survived_before(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    accepted: list[str] = []

    def submit(text: str) -> str:
        signal.raise_signal(number)
        accepted.append(text)
        return f"job-{len(accepted)}"

    provider = Provider(name="shop", submit=submit, fetch=lambda job_id: job_id, poll_seconds=0.01)
    for scene_number in (1, 2, 3):
        with pytest.raises(error), manager.track("s", "w") as run:
            run.call(provider, scene_number, f"picture {scene_number}")
    assert accepted == ["picture 1", "picture 2", "picture 3"]
    assert ask(database, CALLS) == [("submitted", f"job-{count}") for count in (1, 2, 3)]
    assert outcomes(database) == ["released"] * 3


# When it is raised


@either_signal
@pytest.mark.parametrize("event_type", ["completed", "failed"])
def test_a_signal_while_the_end_of_a_block_is_committed_is_raised_after_it(
    manager: SessionManager, database: Path, event_type: str, number: signal.Signals, error: type[BaseException]
) -> None:
    manager.register_session_callback(event_type, lambda *_: signal.raise_signal(number))

    def work() -> None:
        with manager.track("s", "w"):
            if event_type == "failed":
                raise LookupError("no paint")

    with pytest.raises(error):
        work()

    assert (status_of(database), outcomes(database)) == (event_type, [event_type])
    assert are_pythons_own()


class SignalAt(InterruptAt):
    """Ctrl-C at the n-th point where Python looks for signals."""

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        with suppress(Interruption):
            super()._count(frame, event, argument)
            return
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("generator_error", "status"), [(None, "completed"), (LookupError("no paint"), "failed")])
def test_a_ctrl_c_at_whatever_point_of_the_end_of_a_block_neither_cuts_it_short_nor_is_swallowed(
    manager: SessionManager,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    generator_error: Exception | None,
    status: str,
) -> None:
    end, at = Termination.end, SignalAt(0)

    def end_and_begin_to_count(termination: Termination) -> None:
        end(termination)
        at.install()

    monkeypatch.setattr(Termination, "end", end_and_begin_to_count)
    seen = 0
    while True:
        session_id, at = manager.create_session(request()), SignalAt(seen + 1)
        raised: BaseException | None = None
        try:
            with manager.track(session_id, "w"):
                if generator_error is not None:
                    raise generator_error
        except (KeyboardInterrupt, LookupError) as error:
            raised = error
        finally:
            sys.setprofile(None)
        assert status_of(database, session_id) == status, at.where
        assert are_pythons_own(), at.where
        if at.where is None:
            break
        assert isinstance(raised, KeyboardInterrupt), at.where
        seen += 1
    assert seen > 50


@either_signal
def test_a_signal_in_a_plain_call_of_the_manager_is_raised_when_that_call_is_over(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    steps: list[str] = []

    def operation(session: object) -> None:
        signal.raise_signal(number)
        steps.append("finished")

    def work() -> None:
        with manager.track("s", "w"):
            manager.with_session_lock("s", operation)
            steps.append("not reached")

    with pytest.raises(error):
        work()

    assert steps == ["finished"]
    assert outcomes(database) == ["released"]
    manager.get_session("s")


@either_signal
def test_a_signal_in_a_transaction_is_raised_when_that_is_committed(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    steps: list[str] = []

    def work() -> None:
        with manager.track("s", "w"):
            with manager.transaction():
                manager.create_session(request(), session_id="before")
                signal.raise_signal(number)
                manager.create_session(request(), session_id="after")
            steps.append("not reached")

    with pytest.raises(error):
        work()

    assert steps == []
    assert ask(database, "SELECT session_id FROM sessions ORDER BY 1") == [("after",), ("before",), ("s",)]
    assert outcomes(database) == ["released"]


@either_signal
def test_a_signal_in_a_transaction_that_fails_is_raised_too(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    def work() -> None:
        with manager.track("s", "w"), manager.transaction():
            signal.raise_signal(number)
            raise LookupError("no paint")

    with pytest.raises(error):
        work()

    assert outcomes(database) == ["failed"]
    assert are_pythons_own()


@either_signal
def test_a_signal_between_intention_and_submit_has_nothing_sent(
    manager: SessionManager, database: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    sent: list[str] = []

    def submit(text: str) -> str:
        sent.append(text)
        return "job-1"

    def price(text: str, result: object) -> None:
        if not ask(database, CALLS):
            signal.raise_signal(number)

    provider = Provider(name="shop", submit=submit, fetch=lambda job_id: job_id, cost=price)
    with pytest.raises(error), manager.track("s", "w") as run:
        run.call(provider, 1, "a picture")
    assert sent == []
    assert ask(database, CALLS) == [("not_sent", None)]
    with manager.track("s", "w") as run:
        assert run.call(provider, 1, "a picture") == "job-1"
    assert sent == ["a picture"]


def test_a_job_id_whose_recording_was_cut_short_by_a_second_ctrl_c_is_recorded_later(
    manager: SessionManager, database: Path
) -> None:
    with manager_on(database, recovery_interval=None, lock_timeout=0.5) as worker:
        with ExitStack() as outage:
            provider, impatient = shop_cut_short(database, outage, lambda: is_waiting_to_write(worker))
            with pytest.raises(KeyboardInterrupt) as caught, worker.track("s", "w") as run:
                run.call(provider, 1, "a picture")
            impatient.join()
            assert "'job-1'" in caught.value.__notes__[0]
            assert ask(database, CALLS) == [("intended", None)]
        wait_until(lambda: status_of(database) == "pending", "the session to be given back")
        assert ask(database, CALLS) == [("submitted", "job-1")]
    with manager.track("s", "next") as run:
        assert run.call(provider, 1, "a picture") == "job-1"
    assert outcomes(database) == ["released", "completed"]
