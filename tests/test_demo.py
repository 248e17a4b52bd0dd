"""The demo: what a newcomer sees first, and kills."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

STORY = (
    "The lighthouse had not been lit for forty years. Every evening Marit climbed the stairs anyway. "
    '"You will fall," said her grandson. She laughed! On the first night of winter a ship came in without lights. '
    "Marit struck a match. It took three tries… The lamp shone like a small moon. In the morning there were forty "
    "sailors asleep in her kitchen. Nobody spoke of the stairs again."
)
COMMAND = [sys.executable, "-m", "sessionstore", "demo", "story.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    return tmp_path


def demo(folder: Path, *options: str, story: str = "story.txt") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND[:-1], story, "--scene-seconds", "0", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def rows(folder: Path, question: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(folder / "sessionstore.db")
    found = database.execute(question).fetchall()
    database.close()
    return found


def test_a_story_becomes_scenes(folder: Path) -> None:
    done = demo(folder)

    assert done.returncode == 0, done.stderr
    assert rows(folder, "SELECT status, num_scenes, progress_step, progress_total FROM sessions") == [
        ("completed", 5, 5, 5)
    ]
    descriptions = [row[0] for row in rows(folder, "SELECT payload ->> '$.description' FROM scenes ORDER BY position")]
    assert " ".join(str(text) for text in descriptions) == STORY


def test_the_sql_it_prints_can_be_run(folder: Path) -> None:
    printed = demo(folder).stdout.splitlines()[-1]
    question = re.search(r'"(SELECT .*)"$', printed)

    assert question is not None
    assert rows(folder, question[1])[0][:3] == ("completed", 1, 5)


def test_a_completed_story_is_reported_and_not_done_again(folder: Path) -> None:
    demo(folder)
    again = demo(folder)

    assert "completed already" in again.stdout
    assert rows(folder, "SELECT count(*) FROM sessions") == [(1,)]


def test_again_makes_a_new_session(folder: Path) -> None:
    demo(folder)
    again = demo(folder, "--again")

    assert "New session" in again.stdout
    assert rows(folder, "SELECT status, count(*) FROM sessions GROUP BY status") == [("completed", 2)]


def test_another_number_of_scenes_is_another_session(folder: Path) -> None:
    demo(folder)
    demo(folder, "--scenes", "3")

    assert rows(folder, "SELECT num_scenes FROM sessions ORDER BY num_scenes") == [(3,), (5,)]


def kill_when(process: subprocess.Popen[str], folder: Path, scenes: int) -> None:
    """Kills the demo once that many scenes are in the database."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "sessionstore.db").exists():
            try:
                if int(str(rows(folder, "SELECT count(*) FROM scenes")[0][0])) >= scenes:
                    break
            except sqlite3.OperationalError:
                pass  # The tables are not there yet.
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_killed_and_started_again_it_goes_on_at_the_first_missing_scene(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--scene-seconds", "0.3"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as killed:
        kill_when(killed, folder, scenes=2)
    saved = [row[0] for row in rows(folder, "SELECT created_at FROM scenes ORDER BY scene_number")]

    resumed = demo(folder)

    first_missing = len(saved) + 1
    assert "Continuing session demo-" in resumed.stdout
    assert f"{len(saved)} of 5 scenes were saved; going on at scene {first_missing}." in resumed.stdout
    assert "Scene 2 saved" not in resumed.stdout
    made_at = [row[0] for row in rows(folder, "SELECT created_at FROM scenes ORDER BY scene_number")]
    assert made_at[: len(saved)] == saved
    assert rows(folder, "SELECT status, count(*) FROM sessions GROUP BY status") == [("completed", 1)]


def test_killed_at_any_moment_it_completes_the_same_session_with_nothing_lost(folder: Path) -> None:
    """From start-up through migration to the last write: kills at random moments until a run gets through."""
    acknowledged: set[str] = set()
    chance = random.Random(20260101)
    for _ in range(12):
        command = [*COMMAND, "--scene-seconds", "0.05"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            time.sleep(chance.uniform(0.1, 0.9))
            process.kill()
            said = process.stdout.read() if process.stdout else ""
        made_now = set(re.findall(r"Scene (\d+) saved", said))
        assert not made_now & acknowledged, "an acknowledged scene was made again"
        acknowledged |= made_now

    assert demo(folder).returncode == 0
    assert rows(folder, "SELECT status, count(*) FROM sessions GROUP BY status") == [("completed", 1)]
    assert rows(folder, "SELECT scene_number FROM scenes ORDER BY 1") == [(number,) for number in range(1, 6)]
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_says_how_to_go_on_and_gives_its_session_back(
    folder: Path, stop: signal.Signals, status: int
) -> None:
    command = [*COMMAND, "--scene-seconds", "5"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "Scene 1:" not in process.stdout.readline():
            pass
        process.send_signal(stop)
        said, errors = process.communicate(timeout=30)

    assert process.returncode == status
    assert rows(folder, "SELECT status FROM sessions") == [("pending",)]
    assert "goes on from there" in said
    assert errors == ""


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "blank"), (b" \n\t ", "blank"), (b"caf\xe9", "no UTF-8"), (None, "cannot be read")],
)
def test_a_file_that_is_no_story_is_refused_by_name(content: bytes | None, complaint: str, folder: Path) -> None:
    if content is not None:
        (folder / "odd.txt").write_bytes(content)

    done = demo(folder, story="odd.txt")

    assert done.returncode == 1
    assert "odd.txt" in done.stderr
    assert complaint in done.stderr
    assert not os.path.exists(folder / "sessionstore.db")


def test_a_folder_is_no_story(folder: Path) -> None:
    done = demo(folder, story=".")

    assert done.returncode == 1
    assert "cannot be read" in done.stderr


@pytest.mark.parametrize(
    ("text", "scenes"),
    [
        ("Hi", 1),
        ("One two three", 3),
        ("彼は走った。雨が降った。終わり。", 3),
        ("\ufeffWith a mark. And more.", 5),
        ("word " * 20_000, 5),
    ],
)
def test_any_text_becomes_scenes(text: str, scenes: int, folder: Path) -> None:
    (folder / "any.txt").write_text(text, encoding="utf-8")

    done = demo(folder, story="any.txt")

    assert done.returncode == 0, done.stderr
    assert rows(folder, "SELECT status, count(*) FROM sessions JOIN scenes USING (session_id)") == [
        ("completed", scenes)
    ]
