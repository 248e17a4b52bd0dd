"""The pool of workers, by itself: it survives generators, reports and databases, and refuses what it cannot do."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sessionstore import DatabaseUnavailableError, GenerationRequest, GenerationRun, SessionManager
from sessionstore.worker import WorkerPool
from tests.concurrency import PATIENCE_SECONDS, Caller, ask, manager_on, scene, wait_until


class OddError(BaseException):
    """A program's own way to stop something."""


class BadlyMadeError(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise LookupError("no message")


@pytest.fixture
def manager(database: Path) -> Iterator[SessionManager]:
    with manager_on(database) as manager:
        yield manager


def pool_of(manager: SessionManager, generator: Callable[[GenerationRun[Any, Any]], Any], **options: Any) -> WorkerPool:
    return WorkerPool(manager, generator, name="gpu", **options)


def create(manager: SessionManager, count: int) -> None:
    for _ in range(count):
        manager.create_session(GenerationRequest(story_text="A lamp."))


def states(database: Path) -> list[tuple[Any, ...]]:
    """Of each session, how it stands, why it failed, and how often it was tried."""
    return ask(database, "SELECT status, error_message, attempt FROM sessions")


@pytest.mark.parametrize("made", ["text", {"scene_number": 1}, 7])
def test_a_generator_that_returns_no_scenes_is_told_so(manager: SessionManager, made: object) -> None:
    session_id = manager.create_session(GenerationRequest(story_text="A lamp."))
    pool_of(manager, lambda run: made).run(until_idle=True)

    session = manager.get_session(session_id)
    assert session is not None
    assert session.error_message is not None
    assert "a generator yields scenes or returns None" in session.error_message


def test_a_cancelled_session_stops_its_generator_and_the_worker_goes_on(manager: SessionManager) -> None:
    first, second = (manager.create_session(GenerationRequest(story_text="A lamp.")) for _ in range(2))
    lines: list[str] = []

    def generator(run: GenerationRun[Any, Any]) -> Iterator[Any]:
        yield scene(1)
        if run.session_id == first:
            manager.cancel_session(first)
        yield scene(2)

    pool_of(manager, generator, report=lines.append).run(until_idle=True)

    found = [manager.get_session(session_id) for session_id in (first, second)]
    assert [(session.status, len(session.scenes)) for session in found if session] == [
        ("cancelled", 1),
        ("completed", 2),
    ]
    assert any("was cancelled" in line for line in lines)


def test_a_database_that_is_away_ends_no_worker(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sessionstore.worker.PAUSE_SECONDS", 0.01)
    with manager_on(database, lock_timeout=0.1) as manager, closing(sqlite3.connect(database)) as other:
        session_id = manager.create_session(GenerationRequest(story_text="A lamp."))
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.ERROR):
            caller = Caller(lambda: pool_of(manager, lambda run: [scene(1)]).run(until_idle=True))
            wait_until(lambda: "could not claim" in caplog.text)
        other.rollback()
        caller.finish()

        session = manager.get_session(session_id)
        assert session is not None
        assert session.status == "completed"


def test_idle_workers_find_what_comes_later(manager: SessionManager) -> None:
    pool = pool_of(manager, lambda run: [scene(1)], threads=2, poll_seconds=0.01)
    caller = Caller(pool.run)
    ids = [manager.create_session(GenerationRequest(story_text="A lamp.")) for _ in range(5)]
    wait_until(lambda: len(manager.get_sessions_by_status("completed")) == len(ids))
    pool.stop()
    caller.finish()
    assert pool.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("told", [OSError("no disk"), LookupError()], ids=repr)
def test_a_pool_whose_report_raises_goes_on(
    manager: SessionManager, database: Path, told: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    create(manager, 3)

    def report(line: str) -> None:
        raise told

    pool_of(manager, lambda run: [scene(1)], report=report).run(until_idle=True)

    assert states(database) == [("completed", None, 1)] * 3
    assert caplog.text.count("nobody was told: gpu-1: session") == 6


def test_an_exception_that_cannot_tell_its_message_fails_its_session_and_not_the_worker(
    manager: SessionManager, database: Path
) -> None:
    create(manager, 2)
    lines: list[str] = []

    def generator(run: GenerationRun[Any, Any]) -> None:
        raise BadlyMadeError

    pool_of(manager, generator, report=lines.append).run(until_idle=True)

    message = "BadlyMadeError, which cannot tell its message"
    assert states(database) == [("failed", message, 1)] * 2
    assert len([line for line in lines if line.endswith(f"ended with BadlyMadeError: {message}")]) == 2


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), OddError("enough")],
    ids=repr,
)
@pytest.mark.parametrize("when", ["called", "asked for scenes"])
def test_a_generator_that_ends_with_what_is_no_exception_fails_its_session_once(
    manager: SessionManager, database: Path, when: str, error: BaseException
) -> None:
    create(manager, 2)
    lines: list[str] = []

    def yields(run: GenerationRun[Any, Any]) -> Iterator[Any]:
        yield scene(1)
        raise error

    def raises(run: GenerationRun[Any, Any]) -> None:
        raise error

    pool_of(manager, raises if when == "called" else yields, report=lines.append).run(until_idle=True)

    assert states(database) == [("failed", f"the generator ended with {error!r}", 1)] * 2
    assert len(lines) == 4


@pytest.fixture
def away() -> Callable[[GenerationRun[Any, Any]], Any]:
    """A generator that uses another store, whose database is away."""

    def generator(run: GenerationRun[Any, Any]) -> None:
        raise DatabaseUnavailableError("the other one")

    return generator


def test_a_generator_whose_own_store_is_away_is_not_called_again_at_once(
    manager: SessionManager, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessionstore.worker.PAUSE_SECONDS", 0.2)
    create(manager, 1)
    begun: list[float] = []

    def generator(run: GenerationRun[Any, Any]) -> list[Any]:
        begun.append(time.monotonic())
        if len(begun) < 3:
            raise DatabaseUnavailableError("the other one")
        return [scene(1)]

    pool_of(manager, generator).run(until_idle=True)

    assert states(database) == [("completed", None, 3)]
    assert min(later - earlier for earlier, later in pairwise(begun)) >= 0.2


def test_a_pool_that_pauses_ends_at_once_when_it_is_stopped(
    manager: SessionManager, database: Path, monkeypatch: pytest.MonkeyPatch, away: Any
) -> None:
    monkeypatch.setattr("sessionstore.worker.PAUSE_SECONDS", 1000.0)
    create(manager, 1)
    pool = pool_of(manager, away)
    caller = Caller(pool.run)
    wait_until(lambda: states(database) == [("pending", None, 1)])

    pool.stop()

    caller.finish()
    assert pool.wait(PATIENCE_SECONDS)
    assert states(database) == [("pending", None, 1)]


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"threads": 0}, ValueError, "threads"),
        ({"threads": -1}, ValueError, "threads"),
        ({"threads": True}, ValueError, "threads"),
        ({"threads": "2"}, ValueError, "threads"),
        ({"threads": 1.0}, ValueError, "threads"),
        ({"poll_seconds": -1}, ValueError, "poll_seconds"),
        ({"poll_seconds": float("nan")}, ValueError, "poll_seconds"),
        ({"poll_seconds": "x"}, TypeError, "poll_seconds"),
        ({"poll_seconds": True}, TypeError, "poll_seconds"),
        ({"lease_seconds": 0}, ValueError, "lease_seconds"),
        ({"lease_seconds": "60"}, TypeError, "lease_seconds"),
        ({"generator": None}, TypeError, "generator"),
        ({"generator": [scene(1)]}, TypeError, "generator"),
        ({"generator": "generators:yields"}, TypeError, "generator"),
        ({"name": "a\nb"}, ValueError, "name"),
    ],
    ids=str,
)
def test_a_pool_is_refused_what_it_could_not_work_with(
    manager: SessionManager, options: dict[str, Any], error: type[Exception], name: str
) -> None:
    given: dict[str, Any] = {"generator": lambda run: [scene(1)], "name": "gpu"} | options

    with pytest.raises(error, match=name):
        WorkerPool(manager, **given)
