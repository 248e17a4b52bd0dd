"""The command line, as its users and their scripts meet it: a real process for each command."""

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sessionstore import GenerationRequest, ScenePrompt, SessionManager

COMMANDS = [
    "demo",
    "worker",
    "cancel",
    "retry",
    "held",
    "list",
    "show",
    "watch",
    "top",
    "stats",
    "health",
    "report",
    "metrics",
    "cleanup",
    "remove",
    "migrate",
    "check",
    "verify",
    "backup",
    "snapshot",
    "restore",
    "config",
]


def sessionstore(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "sessionstore", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def on_a_terminal(*arguments: str, folder: Path, columns: int = 100, **variables: str) -> str:
    """What a person sees: the output of a command whose standard output is a terminal."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sessionstore", *arguments]
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"} | variables
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # Linux reports the end of a terminal as an error.
            break
        if not chunk:
            break
        seen += chunk
    os.close(controller)
    assert process.wait(timeout=60) == 0, seen
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a space in its name, and ./sessionstore.db in it: 'done' is completed, 'open' pending."""
    folder = tmp_path / "my stories"
    folder.mkdir()
    with SessionManager(database_url=f"sqlite:///{folder / 'sessionstore.db'}") as manager:
        story = GenerationRequest(story_text="Tabs\tand\nlines. " + "A long story. " * 40, num_scenes=2)
        manager.create_session(story, session_id="done")
        manager.add_scene_to_session(
            "done", ScenePrompt(scene_number=1, title="Dawn", description="The sun\trises.", image_prompt="sun")
        )
        manager.update_session_status("done", "processing")
        manager.update_session_status("done", "completed")
        manager.create_session(GenerationRequest(story_text="Later."), session_id="open")
    return folder


def session_ids(folder: Path) -> set[str]:
    database = sqlite3.connect(folder / "sessionstore.db")
    ids = {row[0] for row in database.execute("SELECT session_id FROM sessions")}
    database.close()
    return ids


def test_list_on_a_pipe_is_tab_separated_with_one_line_a_session(folder: Path) -> None:
    done = sessionstore("list", folder=folder)

    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines[0][:4] == ["session_id", "status", "scenes", "progress"]
    assert {tuple(line[:4]) for line in lines[1:]} == {
        ("done", "completed", "1/2", "100%"),
        ("open", "pending", "0/5", "0%"),
    }
    assert all(len(line) == len(lines[0]) for line in lines)


def test_show_on_a_pipe_cuts_nothing_and_escapes_tabs_and_line_ends(folder: Path) -> None:
    facts = dict(line.split("\t") for line in sessionstore("show", "done", folder=folder).stdout.splitlines())

    assert facts["request.story_text"] == "Tabs\\tand\\nlines. " + ("A long story. " * 40).strip()
    assert facts["scenes.1.description"] == "The sun\\trises."


def test_a_terminal_gets_tables(folder: Path) -> None:
    seen = on_a_terminal("list", folder=folder, columns=150)

    assert "┃ session_id" in seen
    assert "│ done" in seen


@pytest.mark.parametrize(
    "command", [["list"], ["show", "done"], ["stats"], ["health"], ["check"], ["config"], ["report", "daily"]]
)
def test_json_is_json(command: list[str], folder: Path) -> None:
    done = sessionstore(*command, "--json", folder=folder)

    assert done.returncode == 0
    assert json.loads(done.stdout)


def test_pages_lead_to_all_sessions(folder: Path) -> None:
    first = json.loads(sessionstore("list", "--limit", "1", "--json", folder=folder).stdout)
    second = json.loads(
        sessionstore("list", "--limit", "1", "--cursor", first["next_cursor"], "--json", folder=folder).stdout
    )

    assert [page["sessions"][0]["session_id"] for page in (first, second)] == ["open", "done"]
    assert second["next_cursor"] is None


def test_a_session_that_never_was_and_one_that_went_are_two_answers(folder: Path) -> None:
    sessionstore("remove", "done", "--yes", folder=folder)

    never, gone = sessionstore("show", "other", folder=folder), sessionstore("show", "done", folder=folder)

    assert (never.returncode, gone.returncode) == (1, 1)
    assert "never was" in never.stderr
    assert "removed at 20" in gone.stderr
    assert "completed with 1 scenes" in gone.stderr


def test_what_deletes_asks_and_on_a_pipe_wants_yes(folder: Path) -> None:
    for command in (["remove", "done"], ["cleanup", "--all"]):
        refused = sessionstore(*command, folder=folder)
        assert refused.returncode == 2
        assert "--yes" in refused.stderr

    assert session_ids(folder) == {"done", "open"}


def test_a_dry_run_says_what_would_go_and_keeps_it(folder: Path) -> None:
    assert "done would go" in sessionstore("remove", "done", "--dry-run", folder=folder).stdout
    assert "2 sessions would go" in sessionstore("cleanup", "--all", "--dry-run", folder=folder).stdout
    assert session_ids(folder) == {"done", "open"}


def test_cleanup_removes_what_is_expired(folder: Path) -> None:
    done = sessionstore(
        "cleanup", "--yes", "--max-age-hours", "0", folder=folder, SESSIONSTORE_COMPLETED_RETENTION_HOURS="100"
    )

    assert "1 expired sessions are gone" in done.stdout
    assert session_ids(folder) == {"done"}


def test_remove_reports_those_that_are_not_there(folder: Path) -> None:
    done = sessionstore("remove", "open", "nothing", "--yes", folder=folder)

    assert done.returncode == 1
    assert "'nothing'" in done.stderr
    assert session_ids(folder) == {"done"}


def test_the_command_line_does_not_forget_at_a_hundred(tmp_path: Path) -> None:
    config = json.loads(sessionstore("config", "--json", folder=tmp_path).stdout)
    told_otherwise = json.loads(sessionstore("config", "--json", folder=tmp_path, SESSIONSTORE_MAX_SESSIONS="7").stdout)

    assert (config["max_sessions"], told_otherwise["max_sessions"]) == (None, 7)


def test_config_hides_a_password(tmp_path: Path) -> None:
    shown = sessionstore("config", "--database", "postgresql://u:s3cret@host/db", folder=tmp_path).stdout

    assert "s3cret" not in shown
    assert "u:***@host" in shown


def test_looking_at_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    for command in ("list", "top", "stats", "health", "metrics", "check", "cleanup"):
        done = sessionstore(command, folder=tmp_path)
        assert done.returncode == 1
        assert "there is no database" in (done.stdout if command == "check" else done.stderr)

    assert list(tmp_path.iterdir()) == []


def test_migrate_makes_a_database_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = sessionstore("migrate", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")

    assert sessionstore("check", folder=tmp_path).returncode == 0


@pytest.mark.parametrize(("revision", "advice"), [("0001", "sessionstore migrate"), ("9999", "upgrade sessionstore")])
def test_a_schema_out_of_date_exits_with_four(revision: str, advice: str, folder: Path) -> None:
    database = sqlite3.connect(folder / "sessionstore.db", isolation_level=None)
    database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    database.close()

    done = sessionstore("list", folder=folder)

    assert done.returncode == 4
    assert advice in done.stderr


@pytest.mark.parametrize("copy", ["backup", "snapshot"])
def test_a_copy_holds_the_same_sessions_and_never_overwrites(copy: str, folder: Path) -> None:
    assert sessionstore(copy, "copy.db", folder=folder).returncode == 0
    again = sessionstore(copy, "copy.db", folder=folder)
    listed = sessionstore("list", "--database", "copy.db", folder=folder)

    assert again.returncode == 1
    assert "not overwritten" in again.stderr
    assert {line.split("\t")[0] for line in listed.stdout.splitlines()[1:]} == {"done", "open"}


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["list", "--limit", "0"], ["list", "--status", "odd"], ["show"], ["demo"]]
)
def test_wrong_usage_exits_with_two(arguments: list[str], tmp_path: Path) -> None:
    assert sessionstore(*arguments, folder=tmp_path).returncode == 2


def test_an_unknown_variable_is_named_with_the_one_that_was_meant(folder: Path) -> None:
    done = sessionstore("list", folder=folder, SESSIONSTORE_DURABILTY="full")

    assert done.returncode == 1
    assert "SESSIONSTORE_DURABILTY" in done.stderr
    assert "did you mean SESSIONSTORE_DURABILITY" in done.stderr


def test_errors_are_one_line_without_a_traceback(folder: Path) -> None:
    done = sessionstore("list", "--database", "sqlite:////nowhere/at/all.db", folder=folder)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_which(missing: str, tmp_path: Path) -> None:
    without = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "for name in list(sys.modules):\n"
        "    assert not name.startswith('sessionstore.cli')\n"
        "from sessionstore.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"sessionstore: the command line needs {missing}, from the extra cli: pip install 'sessionstore[cli]'"
    ]


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_does_not_import_sqlalchemy(command: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sessionstore.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({name.partition('.')[0] for name in sys.modules} & {'sqlalchemy', 'alembic'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"
