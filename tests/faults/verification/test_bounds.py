"""A verification keeps to its time and its size, ends all its processes, and leaves the folder as it was."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.verification import run
from sessionstore.verification.ground import Ground
from sessionstore.verification.scenarios import SCENARIOS, Scenario
from sessionstore.verification.scratch import PREFIX, place_for, remove_leftovers, scratch_in
from sessionstore.verification.verdicts import CannotBeginError, ScenarioName, Trial, Verdict
from tests.concurrency import request, wait_until
from tests.faults.verification.conftest import Trying


def children_of(pid: int) -> list[int]:
    """The processes that this one started, as /proc has them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with workers that are paused or about to be."""
    command = [sys.executable, "-m", "sessionstore", "verify", "stories.db", "--seconds", "60", "--scenario", "zombie"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: list(tmp_path.glob(f"{PREFIX}*/zombie.db-wal")), "the scenario to begin")
        yield process
    finally:
        process.kill()
        process.wait()


def family_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The launcher, and all that it forked so far."""
    (launcher,) = children_of(process.pid)
    wait_until(lambda: children_of(launcher), "workers to be forked")
    return [launcher, *children_of(launcher)]


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_ends_its_children_and_removes_its_folder(
    how: signal.Signals, status: int, running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    family = family_of(running)

    running.send_signal(how)

    assert running.wait(timeout=30) == status
    assert [pid for pid in family if lives(pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_of_a_killed_run_the_children_die_and_the_next_one_removes_the_folder(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    family, said = family_of(running), list[str]()
    remove_leftovers(tmp_path, said.append)
    assert said == []

    running.kill()
    running.wait()
    wait_until(lambda: not any(map(lives, family)), "the children to die")
    (left,) = tmp_path.iterdir()
    remove_leftovers(tmp_path, said.append)

    assert said == [f"{left} was left over and is removed"]
    assert list(tmp_path.iterdir()) == []


def test_what_only_looks_like_a_leftover_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "kept").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}public").mkdir(mode=0o755)
    said: list[str] = []

    remove_leftovers(tmp_path, said.append)

    assert said == []
    assert len(list(tmp_path.iterdir())) == 4
    assert (elsewhere / "kept").exists()


def test_the_folder_is_private_and_goes_after_an_error_too(tmp_path: Path) -> None:
    def fail_in_it() -> None:
        with scratch_in(tmp_path, print) as scratch:
            assert scratch.folder.parent == tmp_path
            assert scratch.folder.stat().st_mode & 0o777 == 0o700
            scratch.path("made").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_it()

    assert list(tmp_path.iterdir()) == []


def test_the_database_that_is_named_stays_as_it_is(trying: Trying, tmp_path: Path) -> None:
    with SessionManager(database_url=f"sqlite:///{tmp_path / 'stories.db'}") as manager:
        manager.create_session(request())
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}

    assert trying(ScenarioName.DISK, seconds=1).verdict is Verdict.HELD

    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_writing_stops_before_the_size_is_reached(trying: Trying) -> None:
    (result,) = trying(ScenarioName.LOCK_STORM, seconds=20, max_bytes=8_000_000).results

    assert result.verdict is not Verdict.DID_NOT_HOLD, result
    assert 1_000_000 < int(result.figures["largest_bytes"]) < 8_000_000
    assert result.seconds < 20


def test_a_scenario_that_does_not_end_is_cut_off_and_did_not_hold(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(ground: Ground, trial: Trial) -> None:
        child = ground.children.start("rescue", settings=ground.options("endless"), threads=1)
        trial.extent = "begun"
        while True:
            child.wait_for("started")
            time.sleep(3600)

    monkeypatch.setitem(SCENARIOS, ScenarioName.KILL, Scenario("It ends.", 1, hang))
    monkeypatch.setattr(run, "OVERTIME_SECONDS", 0.1)

    (result,) = trying(ScenarioName.KILL, seconds=1).results

    assert (result.verdict, result.extent) == (Verdict.DID_NOT_HOLD, "begun")
    assert "had not come to an end" in result.reasons[0]


def test_what_there_is_no_time_for_is_not_tried(trying: Trying, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_it_all(ground: Ground, trial: Trial) -> None:
        ground.wait(ground.end + 1)

    monkeypatch.setitem(SCENARIOS, ScenarioName.DISK, Scenario("It is quick.", 1, take_it_all))
    monkeypatch.setattr(run, "OVERTIME_SECONDS", 5)

    found = trying(ScenarioName.DISK, ScenarioName.KILL, ScenarioName.ZOMBIE, seconds=0.3)

    assert [result.verdict for result in found.results][1:] == [Verdict.NOT_TRIED] * 2
    assert "--seconds" in found.results[1].reasons[0]


def test_an_unexpected_error_did_not_hold_and_the_next_scenario_is_tried(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(ground: Ground, trial: Trial) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(SCENARIOS, ScenarioName.DISK, Scenario("It does not stumble.", 1, stumble))
    monkeypatch.setitem(SCENARIOS, ScenarioName.KILL, Scenario("It is easy.", 1, lambda ground, trial: None))

    found = trying(ScenarioName.DISK, ScenarioName.KILL, seconds=30)

    assert [result.verdict for result in found.results] == [Verdict.DID_NOT_HOLD, Verdict.HELD]
    assert found.results[0].reasons == ["unexpected: ZeroDivisionError: by nothing"]


def test_without_a_launcher_nothing_is_tried_and_the_reason_is_its_last_line(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessionstore.verification.children.LAUNCHER", "sessionstore.no_such_module")

    found = trying(ScenarioName.KILL, seconds=2)

    assert found.verdict is Verdict.NOT_TRIED
    assert "No module named sessionstore.no_such_module" in found.results[0].reasons[0]


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite:///nowhere/at/all.db", "does not exist"),
        ("sqlite:///.", "is a folder"),
        ("sqlite:///:memory:", "sqlite:///FILE"),
        ("postgresql://host/stories", "sqlite:///FILE"),
    ],
)
def test_where_there_is_no_place_is_said_before_anything_is_tried(
    url: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CannotBeginError, match=what):
        place_for(url)


def test_a_link_leads_to_the_disk_that_the_database_is_on(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "stories.db").symlink_to(tmp_path / "disk" / "stories.db")

    assert place_for(f"sqlite:///{tmp_path / 'stories.db'}") == (tmp_path / "disk").resolve()


def test_too_little_room_is_said_before_anything_is_tried(trying: Trying, tmp_path: Path) -> None:
    with pytest.raises(CannotBeginError, match="--max-megabytes"):
        trying(ScenarioName.DISK, seconds=1, max_bytes=10**18)

    assert list(tmp_path.iterdir()) == []
