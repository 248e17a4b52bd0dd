"""A worker that is told to stop in the middle of something, in the main thread and inside its `with run:` block."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

from sessionstore import GenerationRun, Provider, SessionManager
from sessionstore.persistence.engines.sqlite.engine import SqliteEngine
from tests.concurrency import manager_on, scene, wait_until
from tests.tracking.foreign import Outage
from tests.workers import say, wait_for_go

SLOW_SECONDS = 1.0


def slow_provider(says: Callable[[object], None], poll_seconds: float = 0.01) -> Provider:
    """Takes a second to accept a job, and says when it begins to; its jobs are done at once."""

    def submit(request: Any) -> str:
        says("submitting")
        time.sleep(SLOW_SECONDS)
        return "job-1"

    return Provider(name="slow", submit=submit, fetch=lambda job_id: f"image of {job_id}", poll_seconds=poll_seconds)


def shop_cut_short(database: Path, outage: ExitStack, is_waiting: Callable[[], bool]) -> tuple[Provider, Thread]:
    """A provider that is told to stop in `submit`, and once more while the job's id waits; and who tells it so."""
    main = threading.get_ident()

    def ask_again() -> None:
        wait_until(is_waiting, "the job's id to wait for the lock")
        signal.pthread_kill(main, signal.SIGINT)

    impatient = Thread(target=ask_again)

    def submit(text: str) -> str:
        signal.raise_signal(signal.SIGINT)
        outage.enter_context(Outage(database))
        impatient.start()
        return "job-1"

    return Provider(name="shop", submit=submit, fetch=lambda job_id: job_id), impatient


def work_until_stopped(database: Path, *, doing: str, worker: str = "w") -> None:
    """Claims a session, and does one thing for as long as it may."""
    does: dict[str, Callable[[GenerationRun[Any, Any]], None]] = {
        "submit": lambda run: run.call(slow_provider(say), 1, "a picture"),
        "submit for ever": _submit_for_ever,
        "write": _write,
        "write for ever": _write_for_ever,
        "think": _think,
        "use the manager": lambda run: _use(manager),
        "handle it": _handle_it,
    }
    manager = manager_on(database)
    run = manager.claim_next_session(worker, lease_seconds=60)
    assert run is not None
    with run:
        does[doing](run)
    say("completed")
    manager.shutdown()


def survive_ctrl_c(database: Path) -> None:
    """Claims a session, survives a Ctrl-C in its block, and claims it again to buy something."""
    with manager_on(database) as manager:
        try:
            with manager.track("s", "first") as run:
                _think(run)
        except KeyboardInterrupt:
            say("survived")
        with manager.track("s", "second") as run:
            run.call(slow_provider(say), 1, "a picture")
    say("completed")


def _submit_for_ever(run: GenerationRun[Any, Any]) -> None:
    def submit(request: Any) -> str:
        say("submitting")
        while not run.is_stopping:
            time.sleep(0.01)
        say("asked once")
        time.sleep(1000)
        return "never"

    run.call(Provider(name="slow", submit=submit, fetch=lambda job_id: job_id), 1, "a picture")


def _write(run: GenerationRun[Any, Any]) -> None:
    """One write that waits for the database, and one that must not follow it."""
    say("claimed")
    wait_for_go()
    threading.Thread(target=_tell_of_the_write, args=(run,), daemon=True).start()
    run.add_scene(scene(1))
    run.add_scene(scene(2))


def _tell_of_the_write(run: GenerationRun[Any, Any]) -> None:
    engine = run._store.engine
    assert isinstance(engine, SqliteEngine)
    wait_until(lambda: engine._queue._owner is not None, "the write to wait for the lock")
    say("writing")
    wait_until(lambda: run.is_stopping, "the signal")
    say("asked while writing")


def _write_for_ever(run: GenerationRun[Any, Any]) -> None:
    number = 0
    while True:
        number += 1
        run.add_scene(scene(number))
        say(number)


def _think(run: GenerationRun[Any, Any]) -> None:
    say("thinking")
    time.sleep(1000)


def _use(manager: SessionManager) -> None:
    """Inside the block, but not by means of the run."""

    def operation(session: object) -> None:
        say("using it")
        time.sleep(SLOW_SECONDS)
        say("used it")

    manager.with_session_lock("s", operation)
    time.sleep(1000)


def _handle_it(run: GenerationRun[Any, Any]) -> None:
    """The program has a handler of its own before the block."""
    is_told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: is_told.append(number))
    with run:
        say("waiting")
        while not is_told:
            time.sleep(0.01)
        run.add_scene(scene(1))
