"""Hostile arguments and stored texts at the command line: a sentence, no traceback, and nothing a terminal obeys."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.cli import app, output
from tests.bad_input.conftest import SECRET
from tests.faults.values.hostile import OTHER_TEXTS, SQL_FRAGMENTS
from tests.test_cli import on_a_terminal

# Orders to a terminal, and characters that turn the order of others around. Line ends and tabs are the answer's own.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
STORED = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2066\b\r"
LOOKS = (
    ["list"],
    ["list", "--json"],
    ["show", "a"],
    ["show", "a", "--json"],
    ["top", "--once"],
    ["report", "sessions"],
)
ARGUMENTS = (
    ["show"],
    ["remove", "--yes"],
    ["cancel"],
    ["watch"],
    ["list", "--cursor"],
    ["report"],
    ["backup"],
    ["retry"],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ./sessionstore.db in it, and in there a session whose every text is hostile."""
    with SessionManager(database_url=f"sqlite:///{tmp_path / 'sessionstore.db'}") as manager:
        manager.create_session({"story_text": STORED, "more": {STORED: STORED}}, session_id="a", metadata={"k": STORED})
        scene = {"scene_number": 1, "title": STORED, "description": STORED, "image_prompt": STORED}
        manager.add_scene_to_session("a", scene)
        manager.update_session_status("a", "processing")
        manager.update_session_progress("a", 1, 2, STORED)
    return tmp_path


@pytest.fixture
def answers(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """Runs a command as on a pipe, and looks at all that it prints; its exit code."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["sessionstore", *arguments])
        try:
            code = app.run()
        except SystemExit as ended:
            code = int(ended.code or 0)
        for text in capsys.readouterr():
            assert not OBEYED.search(text)
            assert "Traceback" not in text
            assert f":{SECRET}" not in text
        return code

    return run


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_a_stored_text_is_no_order_to_a_terminal_behind_a_pipe(
    answers: Callable[..., int], arguments: list[str]
) -> None:
    assert answers(*arguments) == 0


@pytest.mark.parametrize("arguments", [["show", "a"], ["top", "--once"], ["report", "sessions", "--format", "csv"]])
def test_a_stored_text_is_no_order_to_a_terminal(folder: Path, arguments: list[str]) -> None:
    seen = on_a_terminal(*arguments, folder=folder)
    assert not OBEYED.search(re.sub("\r+\n", "\n", seen))


@pytest.mark.parametrize("command", ARGUMENTS, ids=" ".join)
def test_a_hostile_argument_is_answered_with_a_sentence(answers: Callable[..., int], command: list[str]) -> None:
    # What no system takes as an argument, and no file system as a name.
    texts = [text for text in (*OTHER_TEXTS.values(), *SQL_FRAGMENTS) if "\0" not in text and len(text) < 1000]

    codes = Counter(answers(*command, text) for text in texts)

    assert set(codes) <= {0, 1, 2}
    assert codes[2] > 5
    assert answers("show", "a") == 0


@pytest.mark.parametrize("name", [f"postgresql://u:{SECRET}@h/x", "\x1b[2J", f"sqlite://:{SECRET}", "/dev/null", "."])
def test_the_database_of_a_hostile_name_is_answered_with_a_sentence(answers: Callable[..., int], name: str) -> None:
    assert answers("list", "--database", name) in {1, 2}


def test_control_without_the_escapes_a_stored_text_is_an_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_tsv(["text"], [[STORED]])
    assert not OBEYED.search(capsys.readouterr().out)
    monkeypatch.setattr(output, "_ESCAPES", {})
    output.print_tsv(["text"], [[STORED]])
    assert OBEYED.search(capsys.readouterr().out)
