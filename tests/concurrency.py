"""What the tests of threads and engines share: a manager without schedules, threads that report, waits with an end."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence, Sized
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from sessionstore import GenerationRequest, ScenePrompt, SessionManager
from sessionstore.persistence.engines.sqlite.engine import SqliteEngine

PATIENCE_SECONDS = 30.0


def manager_on(path: Path, **overrides: Any) -> SessionManager:
    """A manager on the file, unbounded, that writes nothing of its own accord."""
    chosen = {"cleanup_interval": None, "touch_interval": 3600, "lock_timeout": 10} | overrides
    return SessionManager(None, database_url=f"sqlite:///{path}", **chosen)


def engine_of(manager: SessionManager) -> SqliteEngine:
    engine = manager._store.engine
    assert isinstance(engine, SqliteEngine)
    return engine


def request() -> GenerationRequest:
    return GenerationRequest(story_text="A fox crossed the river.")


def scene(number: int) -> ScenePrompt:
    return ScenePrompt(scene_number=number, title=f"Scene {number}", description="It rains.", image_prompt="rain")


def ask(path: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a connection of its own sees: committed rows, and nothing else."""
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return connection.execute(statement, parameters).fetchall()


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Returns once `condition` holds; fails the test when it does not come to hold."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        time.sleep(0.0005)


class Caller:
    """A thread that runs `call` and keeps its result or what it raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._call = call
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    def is_done(self) -> bool:
        return not self.thread.is_alive()

    def finish(self) -> Any:
        """Waits for the end; what the call raised is raised here."""
        self.join()
        if self.error is not None:
            raise self.error
        return self.result

    def join(self) -> "Caller":
        self.thread.join(PATIENCE_SECONDS)
        assert self.is_done(), "the call never returned"
        return self


def all_at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Runs each call on a thread of its own, begun together; their results, or the first error."""
    barrier = threading.Barrier(len(calls))

    def after_barrier(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            barrier.wait(PATIENCE_SECONDS)
            return call()

        return run

    callers = [Caller(after_barrier(call)) for call in calls]
    return [caller.finish() for caller in callers]


class Holder:
    """A thread that holds the write lock from `with` to the end of the block, so that others queue behind it."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._has_it = threading.Event()
        self._let_go = threading.Event()
        self._caller: Caller | None = None

    def __enter__(self) -> "Holder":
        self._caller = Caller(self._hold)
        assert self._has_it.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        self._let_go.set()
        assert self._caller is not None
        self._caller.finish()

    def _hold(self) -> None:
        with self._manager.transaction():
            self._has_it.set()
            self._let_go.wait(PATIENCE_SECONDS)


def _is_longer(items: Sized, before: int) -> bool:
    return len(items) > before


def queue_up(manager: SessionManager, *calls: Callable[[], Any]) -> list[Caller]:
    """Has each call wait for the writer, in this order; somebody must hold the lock."""
    waiting = engine_of(manager)._queue._waiting
    callers = []
    for call in calls:
        before = len(waiting)
        callers.append(Caller(call))
        wait_until(partial(_is_longer, waiting, before), "a writer to queue")
    return callers
