"""A verification keeps to its time and its size, ends all its processes, and leaves the folder as it was."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore.verification import run
from sessionstore.verification.ground import Ground
from sessionstore.verification.scenarios import SCENARIOS, Scenario, lock_storm
from sessionstore.verification.scratch import PREFIX, place_for, remove_leftovers, scratch_in
from sessionstore.verification.verdicts import CannotBeginError, ScenarioName, Trial, Verdict
from tests.concurrency import wait_until
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
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b"zombie: is tried\n"
        wait_until(lambda: list(tmp_path.glob(f"{PREFIX}*/zombie.db-wal")), "the scenario to begin")
        yield process
    finally:
        process.kill()
        process.communicate()


def family_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The launcher, and all that it forked so far."""
    (launcher,) = children_of(process.pid)
    wait_until(lambda: children_of(launcher), "workers to be forked")
    return [launcher, *children_of(launcher)]


def test_ctrl_c_ends_the_children_and_removes_the_folder(running: subprocess.Popen[bytes], tmp_path: Path) -> None:
    family = family_of(running)

    running.send_signal(signal.SIGINT)

    assert running.wait(timeout=30) == 130
    assert [pid for pid in family if lives(pid)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_to_be_asked_to_end_ends_a_run_in_order(number: signal.Signals, tmp_path: Path) -> None:
    def be_asked() -> None:
        with run.ended_by_signals(), scratch_in(tmp_path, print):
            signal.raise_signal(number)

    with pytest.raises(SystemExit) as ended:
        be_asked()

    assert ended.value.code == 128 + number
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


def test_writing_stops_before_the_size_is_reached_and_a_log_is_not_judged_while_it_is_read(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MAX_READ_SECONDS": 600, "READER_SHARE": 10, "LOG_BOUND_BYTES": 0}.items():
        monkeypatch.setattr(lock_storm, name, value)

    (result,) = trying(ScenarioName.LOCK_STORM, seconds=20, max_bytes=8_000_000).results

    assert result.verdict is not Verdict.DID_NOT_HOLD, result
    assert "whether the log shrinks was not seen" in result.notes[0]
    assert 1_000_000 < int(result.figures["largest_bytes"]) < 8_000_000
    assert result.seconds < 20


def test_what_goes_wrong_with_a_scenario_is_told_and_leaves_the_others_alone(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(ground: Ground, trial: Trial) -> None:
        raise ZeroDivisionError("by nothing")

    def hang(ground: Ground, trial: Trial) -> None:
        trial.extent = "begun"
        while True:
            time.sleep(3600)

    tried = {ScenarioName.DISK: stumble, ScenarioName.KILL: lambda *_: None, ScenarioName.LOCK_STORM: hang}
    for name, try_it in tried.items():
        monkeypatch.setitem(SCENARIOS, name, Scenario("It goes well.", 1, try_it))
    monkeypatch.setattr(run, "OVERTIME_SECONDS", 0.1)

    stumbled, fine, hung = trying(*tried, seconds=5).results

    assert (stumbled.verdict, fine.verdict, hung.verdict, hung.extent) == (
        *(Verdict.DID_NOT_HOLD, Verdict.HELD, Verdict.DID_NOT_HOLD),
        "begun",
    )
    assert stumbled.reasons == ["unexpected: ZeroDivisionError: by nothing"]
    assert "had not come to an end" in hung.reasons[0]


def test_what_there_is_no_time_for_is_not_tried(trying: Trying, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_it_all(ground: Ground, trial: Trial) -> None:
        ground.wait(ground.end + 1)

    monkeypatch.setitem(SCENARIOS, ScenarioName.DISK, Scenario("It is quick.", 1, take_it_all))

    found = trying(ScenarioName.DISK, ScenarioName.ZOMBIE, seconds=0.3)

    assert [result.verdict for result in found.results] == [Verdict.HELD, Verdict.NOT_TRIED]
    assert "--seconds" in found.results[1].reasons[0]


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
