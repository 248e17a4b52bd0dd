"""The pool of workers, alone and as `sessionstore worker`: it generates, survives generators, and stops in order."""

import json
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessionstore import GenerationRequest, GenerationRun, SessionManager
from sessionstore.worker import WorkerPool
from tests.concurrency import PATIENCE_SECONDS, Caller, ask, manager_on, scene, wait_until

GENERATORS = """
import sys, time
from sessionstore import Provider

def scene(number):
    return {"scene_number": number, "title": "t", "description": "d", "image_prompt": "p"}

def yields(run):
    for number in run.pending_scene_numbers():
        yield scene(number)

def saves(run):
    for number in run.pending_scene_numbers():
        run.add_scene(scene(number))

def waits(run):
    for number in run.pending_scene_numbers():
        yield scene(number)
        while True:
            run.raise_if_cancelled()
            time.sleep(0.01)

def hangs(run):
    yield scene(1)
    time.sleep(60)

def fails(run):
    raise ValueError("the model is on fire")

def exits(run):
    sys.exit(3)

def buys(run):
    provider = Provider(name="shop", submit=lambda request: no_such_name, fetch=lambda job_id: None)
    run.call(provider, 1, {"prompt": "a fox"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a space in its name, generators in it, and three pending sessions of two scenes each."""
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "generators.py").write_text(GENERATORS, encoding="utf-8")
    with manager_on(folder / "sessionstore.db") as manager:
        for number in range(3):
            request = GenerationRequest(story_text="A fox. A lamp.", num_scenes=2)
            manager.create_session(request, session_id=f"s{number}")
    return folder


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sessionstore", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    with start(folder, *arguments) as process:
        out, errors = process.communicate(timeout=60)
        return process.returncode, out, errors


def work(folder: Path, function: str, *options: str) -> tuple[int, str, str]:
    return run(folder, "worker", "--generator", f"generators:{function}", "--until-idle", "--name", "gpu", *options)


def statuses(folder: Path) -> list[str]:
    return [status for (status,) in ask(folder / "sessionstore.db", "SELECT status FROM sessions ORDER BY session_id")]


@pytest.mark.parametrize("function", ["yields", "saves"])
def test_it_completes_what_is_pending_and_ends_when_told_to(folder: Path, function: str) -> None:
    code, out, errors = work(folder, function, "--threads", "2")

    assert (code, errors) == (0, "")
    assert statuses(folder) == ["completed"] * 3
    assert ask(folder / "sessionstore.db", "SELECT count(*) FROM scenes") == [(6,)]
    assert len([line for line in out.splitlines() if " completed in " in line]) == 3
    assert {worker for (worker,) in ask(folder / "sessionstore.db", "SELECT worker FROM runs")} <= {"gpu-1", "gpu-2"}


@pytest.mark.parametrize(
    ("function", "message"),
    [("fails", "the model is on fire"), ("exits", "the generator ended with SystemExit(3)")],
)
def test_a_generator_that_fails_fails_its_session_and_not_the_worker(folder: Path, function: str, message: str) -> None:
    code, out, errors = work(folder, function)

    assert code == 0
    assert (
        ask(folder / "sessionstore.db", "SELECT status, error_message, attempt FROM sessions")
        == [("failed", message, 1)] * 3
    )
    assert out.count(message) == 3
    assert "Traceback" in errors


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_gives_back_what_is_not_finished(folder: Path, stop: signal.Signals) -> None:
    with start(folder, "worker", "--generator", "generators:waits", "--threads", "2", "--name", "gpu") as process:
        wait_until(lambda: ask(folder / "sessionstore.db", "SELECT count(*) FROM scenes") == [(2,)])
        process.send_signal(stop)
        out, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert statuses(folder) == ["pending"] * 3
    assert ask(folder / "sessionstore.db", "SELECT outcome FROM runs") == [("released",)] * 2
    assert out.count("is given back") == 2
    assert "stopping" in errors


def test_a_generator_that_does_not_stop_is_left_behind_and_its_session_given_back(folder: Path) -> None:
    command = ["worker", "--generator", "generators:hangs", "--grace-seconds", "0.1"]
    with start(folder, *command) as process:
        wait_until(lambda: ask(folder / "sessionstore.db", "SELECT count(*) FROM scenes") == [(1,)])
        process.terminate()
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert "did not come to a stop" in errors
    assert statuses(folder) == ["pending"] * 3


@pytest.mark.parametrize(
    ("generator", "complaint"),
    [
        ("generators", "not MODULE:NAME"),
        ("nowhere:make", "no module nowhere"),
        ("generators:nothing", "has no nothing that can be called"),
    ],
)
def test_a_generator_that_is_none_is_a_usage_error(folder: Path, generator: str, complaint: str) -> None:
    code, _, errors = run(folder, "worker", "--generator", generator)

    assert code == 2
    assert complaint in " ".join(errors.replace("│", " ").split())
    assert statuses(folder) == ["pending"] * 3


def test_held_calls_are_listed_decided_and_gone_on_with(folder: Path) -> None:
    work(folder, "buys")
    calls = json.loads(run(folder, "held", "--json")[1])
    assert [(call["session_id"], call["scene_number"], call["provider"]) for call in calls] == [
        (f"s{number}", 1, "shop") for number in range(3)
    ]
    assert "NameError" in calls[0]["reason"]
    assert statuses(folder) == ["failed"] * 3

    first, second, third = (call["call_id"] for call in calls)
    assert run(folder, "held", "attach", first, "job-1")[0] == 0
    assert run(folder, "held", "--database", "sessionstore.db", "retry", second)[0] == 0
    assert run(folder, "held", "retry", second)[0] == 1
    assert statuses(folder) == ["pending", "pending", "failed"]
    assert [line.split("\t")[0] for line in run(folder, "held")[1].splitlines()] == ["call_id", third]


def test_sessions_are_cancelled_and_retried_from_the_command_line(folder: Path) -> None:
    assert run(folder, "cancel", "s0", "s1")[0] == 0
    work(folder, "yields")
    assert statuses(folder) == ["cancelled", "cancelled", "completed"]

    assert run(folder, "retry", "s0")[0] == 0
    assert run(folder, "retry", "s2")[0] == 1
    assert run(folder, "retry", "s2", "--scene", "2")[0] == 0
    assert statuses(folder) == ["pending", "cancelled", "pending"]
    assert ask(folder / "sessionstore.db", "SELECT part FROM set_aside") == [("scene 2",)]

    work(folder, "yields")
    code, _, errors = run(folder, "cancel", "s0", "nobody")
    assert code == 1
    assert "is completed" in errors
    assert "no session 'nobody'" in errors


# The pool itself


@pytest.fixture
def manager(database: Path) -> Iterator[SessionManager]:
    with manager_on(database) as manager:
        yield manager


def pool_of(manager: SessionManager, generator: Callable[[GenerationRun[Any, Any]], Any], **options: Any) -> WorkerPool:
    return WorkerPool(manager, generator, name="gpu", **options)


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
