"""The named points of a run and of a paid call at which a worker can be told to die."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from sessionstore import GenerationSession, SessionManager
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.providers import CallState, ProviderCall
from tests.concurrency import engine_of

T = TypeVar("T")


class Point(StrEnum):
    """In the order in which a worker comes by. `written` is inside the transaction, after its last statement."""

    CLAIM_WRITTEN = "claim written"
    CLAIMED = "claimed"
    BEFORE_INTENTION = "before the intention"
    INTENTION_WRITTEN = "intention written"
    INTENDED = "intended, nothing sent"
    HALF_SENT = "request half sent"
    ACCEPTED = "request accepted, answer not read"
    SUBMIT_ANSWERED = "submit answered"
    JOB_WRITTEN = "job id written"
    SUBMITTED = "submitted"
    STILL_RUNNING = "fetch answered that it is still running"
    FETCH_ANSWERED = "fetch answered with the result"
    RESULT_WRITTEN = "result written"
    FETCHED = "fetched"
    BEFORE_SCENE = "before add_scene"
    SCENE_WRITTEN = "scene written"
    SCENE_SAVED = "after add_scene"
    PROGRESS_WRITTEN = "progress written"
    PROGRESS_SAVED = "after the progress"
    BEFORE_COMPLETION = "before complete"
    COMPLETION_WRITTEN = "completion written"
    COMPLETED = "after complete"


# A step of the ledger, inside its transaction and after it.
LEDGER = {
    CallState.INTENDED: (Point.INTENTION_WRITTEN, None),
    CallState.SUBMITTED: (Point.JOB_WRITTEN, Point.SUBMITTED),
    CallState.FETCHED: (Point.RESULT_WRITTEN, Point.FETCHED),
}


class Points:
    """Dies, or dawdles, where a worker comes by.

    A session's metadata says where its workers die: `die_at`, a point; `in_scene`, for those that every scene passes;
    and `deaths`, how many. Each death leaves a file in the folder `deaths`, whose name nobody can take a second time.
    """

    def __init__(self, deaths: Path, longest_pause_seconds: float = 0) -> None:
        self._deaths = deaths
        self._longest_pause_seconds = longest_pause_seconds
        self._session: GenerationSession[Any, Any] | None = None
        self._scene_number: int | None = None
        self._written: Point | None = None

    def begin(self, session: GenerationSession[Any, Any], scene_number: int | None = None) -> None:
        """What is worked on from now on."""
        self._session, self._scene_number = session, scene_number

    def reach(self, point: Point | None) -> None:
        """A worker is here. It is told when it has no name."""
        if self._longest_pause_seconds:
            # So that a kill at a random moment finds workers at all points, not where the disk keeps them waiting.
            time.sleep(random.uniform(0, self._longest_pause_seconds))
        if point is not None and self._is_fatal(point):
            os.kill(os.getpid(), signal.SIGKILL)

    def reach_written(self) -> None:
        """Inside the transaction of a `step`."""
        self.reach(self._written)

    @contextmanager
    def step(self, written: Point) -> Iterator[None]:
        """Around a write whose result says nothing about what it was."""
        self._written = written
        yield
        self._written = None

    def _is_fatal(self, point: Point) -> bool:
        will = {} if self._session is None else self._session.metadata
        if will.get("die_at") != point or self._scene_number not in {None, will.get("in_scene")}:
            return False
        assert self._session is not None
        for number in range(will["deaths"]):
            try:
                (self._deaths / f"{self._session.session_id}-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False


def watch(manager: SessionManager[Any, Any], points: Points) -> None:
    """Has what the main thread writes come by `points`, inside the transaction and after it."""
    engine = engine_of(manager)
    write = engine.write

    def watched_write(work: Callable[[UnitOfWork], T]) -> T:
        if threading.current_thread() is not threading.main_thread():
            return write(work)

        def watched(unit: UnitOfWork) -> T:
            result = work(unit)
            if isinstance(result, ProviderCall):
                points.reach(LEDGER.get(result.state, (None, None))[0])
            elif isinstance(result, tuple) and isinstance(result[-1], GenerationSession):
                points.begin(result[-1])
                points.reach(Point.CLAIM_WRITTEN)
            else:
                points.reach_written()
            return result

        result = write(watched)
        if isinstance(result, ProviderCall):
            points.reach(LEDGER.get(result.state, (None, None))[1])
        return result

    engine.write = watched_write  # type: ignore[method-assign]  # of this one engine, in a process for tests
