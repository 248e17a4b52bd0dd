"""The README's promises that can be run: its code, its SQL, and its lists of settings, columns and commands."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sessionstore import SessionManager, Settings
from sessionstore.cli.app import app
from sessionstore.persistence.tables import Base

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def rows_of_table(heading: str) -> Iterator[list[str]]:
    """The cells of the first table under a heading, without its header."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_code_runs_as_it_stands(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})

    assert capsys.readouterr().out.strip().splitlines()[-1] in {
        "completed 100.0 ['Scene 1', 'Scene 2']",
        "removed 2 True",
        "completed at attempt 1",
        "completed with 1 scene",
        "0",
    }


def test_the_sql_runs_on_a_real_database() -> None:
    exec(compile(blocks("python")[0], "README.md", "exec"), {"__name__": "readme"})
    database = sqlite3.connect("stories.db")
    answers = [database.execute(question).fetchall() for question in blocks("sql")[0].split(";") if question.strip()]
    database.close()

    assert answers[0][0][1:3] == ("cinematic", 1)
    assert [row[2] for row in answers[1]] == ["Scene 1", "Scene 2"]


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {name.strip("`"): default.strip("`") for name, default, _ in rows_of_table("Settings")}

    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert listed == {
        name: str(default).lower() if isinstance(default, bool) else str(default) for name, default in defaults.items()
    }


def test_every_table_is_listed_with_its_columns() -> None:
    listed = {name.strip("`"): columns.strip("`").split(", ") for name, _, columns in rows_of_table("The tables")}

    assert listed == {table.name: list(table.columns.keys()) for table in Base.metadata.tables.values()}


def test_every_command_is_listed() -> None:
    cells = [re.findall(r"`(\w+)", command) for command, _ in rows_of_table("The command line")]
    offered = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}

    assert {name for names in cells for name in names} == offered


def test_the_reports_of_the_readme_are_those_there_are() -> None:
    commands = re.findall(r"^sessionstore (report .*?) *#", README, re.MULTILINE)
    SessionManager(database_url="sqlite:///sessionstore.db").shutdown()

    assert len(commands) == 4
    for command in commands:
        assert CliRunner().invoke(app, command.split()).exit_code == 0, command
    assert len(list(Path().glob("*.svg"))) == 1


def test_every_room_is_there() -> None:
    package = Path(__file__).parent.parent
    for names, _ in rows_of_table("How the house is laid out"):
        for name in re.findall(r"`([^`]+)`", names):
            assert (package / "sessionstore" / name).exists() or (package / name).exists(), name


def test_every_public_method_has_a_docstring() -> None:
    methods = {name: method for name, method in vars(SessionManager).items() if not name.startswith("_")}

    assert [name for name, method in methods.items() if not method.__doc__] == []


def test_the_options_of_the_demo_are_those_it_has() -> None:
    help_text = CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output

    for option in ("--scenes", "--scene-seconds", "--again"):
        assert option in help_text
