"""`sessionstore worker`, and the commands about what workers do: in processes of their own."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sessionstore import GenerationRequest
from tests.concurrency import ask, manager_on, wait_until
from tests.dumps import query
from tests.test_cli import on_a_terminal

GENERATORS = """
import pathlib, sys, time
from sessionstore import CallHeldError, Provider

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

def first_waits(run):
    while run.session_id != "s0" or not pathlib.Path("go").exists():
        run.raise_if_cancelled()
        time.sleep(0.01)
    yield from yields(run)

provider = Provider(name="shop", submit=lambda request: no_such_name, fetch=lambda job_id: None)

def buys(run):
    run.call(provider, 1, {"prompt": "a fox"})

def buys_two(run):
    try:
        run.call(provider, 1, {"prompt": "a fox"})
    except CallHeldError:
        run.call(provider, 2, {"prompt": "a lamp"})

def sings(run):
    for number in range(1, run.session.request_data.verses + 1):
        yield {"scene_number": number, "words": f"la {number}"}
"""

MODELS = """
from pydantic import BaseModel

class Song(BaseModel):
    verses: int

class Verse(BaseModel):
    scene_number: int
    words: str
"""


class Song(BaseModel):
    verses: int


class Verse(BaseModel):
    scene_number: int
    words: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a space in its name, generators in it, and three pending sessions of two scenes each."""
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "generators.py").write_text(GENERATORS, encoding="utf-8")
    (folder / "models.py").write_text(MODELS, encoding="utf-8")
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


def test_a_worker_that_nobody_hears_any_more_gives_back_what_it_has_and_fails(folder: Path) -> None:
    """As in `sessionstore worker ... | head -2`."""
    with start(folder, "worker", "--generator", "generators:first_waits", "--threads", "2", "--name", "gpu") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert ["attempt 1" in process.stdout.readline() for _ in range(2)] == [True, True]
        process.stdout.close()
        (folder / "go").touch()
        try:
            code = process.wait(timeout=30)
        finally:
            process.kill()
        errors = process.stderr.read()

    assert code == 1
    assert "Traceback" not in errors
    assert "Exception" not in errors
    assert statuses(folder) == ["completed", "pending", "pending"]
    assert ask(folder / "sessionstore.db", "SELECT outcome FROM runs ORDER BY session_id") == [
        ("completed",),
        ("released",),
    ]


def songs_in(folder: Path) -> Any:
    """The store as a backend with models of its own sees it."""
    return manager_on(folder / "sessionstore.db", request_model=Song, scene_model=Verse)


def with_songs(folder: Path) -> None:
    """Two songs beside the stories: the oldest session there is, and the youngest."""
    with songs_in(folder) as manager:
        for name in ("song 1", "song 2"):
            manager.create_session(Song(verses=3), session_id=name)
    query(
        folder / "sessionstore.db",
        "UPDATE sessions SET created_at = '2020-01-01 00:00:00.000', state_checksum = NULL WHERE session_id = 'song 1'",
    )


def test_a_worker_leaves_sessions_of_other_models_pending_and_does_the_others(folder: Path) -> None:
    with_songs(folder)

    code, out, errors = work(folder, "yields")

    assert code == 0
    assert statuses(folder) == ["completed"] * 3 + ["pending"] * 2
    assert "song" not in out
    assert errors.count("passes over a session") == 2
    assert "Traceback" not in errors
    assert ask(folder / "sessionstore.db", "SELECT DISTINCT attempt FROM sessions WHERE status = 'pending'") == [(0,)]


def test_a_worker_that_is_told_the_models_of_a_backend_completes_its_sessions(folder: Path) -> None:
    with_songs(folder)

    code, _, errors = work(folder, "sings", "--request-model", "models:Song", "--scene-model", "models:Verse")

    assert code == 0
    assert statuses(folder) == ["pending"] * 3 + ["completed"] * 2
    assert errors.count("passes over a session") == 3
    with songs_in(folder) as manager:
        scenes = manager.get_session("song 1").scenes
    assert scenes == [Verse(scene_number=number, words=f"la {number}") for number in (1, 2, 3)]


@pytest.mark.parametrize("option", ["--request-model", "--scene-model"])
def test_a_model_that_is_none_is_a_usage_error(folder: Path, option: str) -> None:
    code, _, errors = run(folder, "worker", "--generator", "generators:yields", option, "models:Poem")

    assert code == 2
    assert option in errors
    assert "has no Poem" in " ".join(errors.replace("│", " ").split())
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
    _, out, errors = work(folder, "buys")
    assert out.count(" is held: ") == 3
    assert "Traceback" not in errors
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


def test_a_decision_says_what_became_of_the_session(folder: Path) -> None:
    database = folder / "sessionstore.db"
    work(folder, "buys_two")
    calls = json.loads(run(folder, "held", "--json")[1])
    ids = {(call["session_id"], call["scene_number"]): call["call_id"] for call in calls}
    cancelled = "status = 'cancelled', error_message = NULL, state_checksum = NULL"
    query(database, f"UPDATE sessions SET {cancelled} WHERE session_id = 's1'")  # noqa: S608 - it stands above
    query(database, "DELETE FROM sessions WHERE session_id = 's2'")

    def decide(session_id: str, scene_number: int, *decision: str) -> str:
        verb, *job = decision
        code, out, errors = run(folder, "held", verb, ids[session_id, scene_number], *job)
        assert (code, errors) == (0, "")
        assert out.startswith(ids[session_id, scene_number])
        return out.strip().partition("; ")[2]

    assert decide("s0", 1, "attach", "job-1") == "session s0 waits for 1 more of its calls."
    assert decide("s0", 2, "retry") == "session s0 is pending."
    assert decide("s1", 2, "retry") == "session s1 waits for 1 more of its calls."
    assert decide("s1", 1, "attach", "job-1") == "session s1 is cancelled; `sessionstore retry s1` puts it back."
    assert decide("s2", 1, "retry") == "its session is gone."
    assert run(folder, "held", "retry", ids["s0", 1])[0] == 1


def test_a_person_who_lists_held_calls_sees_whole_ids_to_type_again(folder: Path) -> None:
    with manager_on(folder / "sessionstore.db") as manager:
        session_id = manager.create_session(GenerationRequest(story_text="A lamp.", num_scenes=2))
    assert on_a_terminal("held", folder=folder, columns=80).strip() == "No paid call is held."
    work(folder, "buys")

    seen = on_a_terminal("held", folder=folder, columns=80)

    calls = json.loads(run(folder, "held", "--json")[1])
    assert [call["session_id"] for call in calls].count(session_id) == 1
    assert all(call["call_id"] in seen for call in calls)
    assert session_id in seen
    assert "held attach CALL JOB" in seen


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
