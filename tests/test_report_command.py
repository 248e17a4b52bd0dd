"""`sessionstore report`: every report in every format, what it refuses, and what it leaves out."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sessionstore import SessionManager
from sessionstore.cli import main
from sessionstore.cli.reports.kinds import KINDS, typed
from tests.history import AWKWARD_MESSAGE, make_history
from tests.test_cli import on_a_terminal

VIEWS = [name for name in KINDS if name != "timeline"]


class Answer(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, str]]:
        """Of tab-separated lines."""
        header, *lines = (line.split("\t") for line in self.out.splitlines())
        return [dict(zip(header, line, strict=True)) for line in lines]

    def complaint(self) -> str:
        """What standard error says, without the frame and the line ends that it is drawn with."""
        return " ".join(self.err.replace("│", " ").split())


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small history; nobody changes it."""
    file = tmp_path_factory.mktemp("history") / "sessions.db"
    make_history(file)
    return file


@pytest.fixture
def ask(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `sessionstore report` on that history, its output on no terminal."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, columns: int = 100, database: Path = store) -> Answer:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["sessionstore", "report", *arguments, "--database", str(database)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Answer(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.mark.parametrize("name", VIEWS)
def test_a_pipe_gets_what_the_manager_answers_column_by_column(name: str, ask: Ask, store: Path) -> None:
    with SessionManager(database_url=f"sqlite:///{store}", auto_migrate=False, recovery_interval=None) as manager:
        report = manager.report(name)

    answer = ask(typed(name))

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[0].split("\t") == report.columns
    assert len(answer.rows()) == len(report.rows) > 0


def test_a_pipe_gets_raw_values_with_nothing_for_null(ask: Ask) -> None:
    first, *_, last = ask("sessions").rows()

    assert (first["session_id"], first["created_at"], first["queue_ms"]) == ("a1", "2024-03-01 08:00:00.000", "2000")
    assert (first["gone_reason"], first["gone_at"]) == ("expired", "2024-03-02 08:00:00.000")
    assert (last["started_at"], last["generation_ms"], last["gone_reason"]) == ("", "", "")


def test_csv_quotes_what_it_must_and_ends_lines_as_rfc_4180_says(ask: Ask) -> None:
    out = ask("failures", "--format", "csv").out

    assert '"the provider said ""no"", twice\nand hung up"' in out
    assert out.startswith("day,media_type,error_message,")
    assert out.count("\r\n") == 3
    assert [row["error_message"] for row in csv.DictReader(io.StringIO(out, newline=""))][-1] == AWKWARD_MESSAGE


@pytest.mark.parametrize("option", [["--format", "json"], ["--json"]])
def test_json_is_a_list_of_objects_with_instants_in_iso(option: list[str], ask: Ask) -> None:
    (retried,) = [row for row in json.loads(ask("sessions", *option).out) if row["session_id"] == "b1"]

    assert retried["created_at"] == "2024-03-02T09:00:00Z"
    assert (retried["attempt_count"], retried["generation_ms"], retried["gone_at"]) == (2, 40_000, None)


def test_json_without_rows_is_an_empty_list(ask: Ask) -> None:
    assert json.loads(ask("sessions", "--json", "--media-type", "realistic").out) == []


def test_hyphens_and_underscores_are_the_same(ask: Ask) -> None:
    assert ask("status-durations").out == ask("status_durations").out


def test_a_window_is_taken_in_utc_and_its_end_is_not_in_it(ask: Ask) -> None:
    def sessions(*window: str) -> list[str]:
        return [row["session_id"] for row in ask("sessions", *window).rows()]

    assert sessions("--since", "2024-03-02") == ["b1", "b2", "b3", "b4"]
    assert sessions("--since", "2024-03-01T08:10", "--until", "2024-03-01T11:00") == ["a2", "a3"]
    assert sessions("--until", "2024-03-01T10:10+02:00") == ["a1"]
    assert sessions("--since", "24h") == []


def test_only_a_media_type(ask: Ask) -> None:
    rows = ask("hourly", "--media-type", "cartoon").rows()

    assert {row["media_type"] for row in rows} == {"cartoon"}
    assert [row["completed_count"] for row in rows] == ["0", "1", "1"]


def test_the_timeline_of_a_session_goes_through_its_retry(ask: Ask) -> None:
    rows = ask("timeline", "--session", "b1").rows()

    assert [(row["status"], row["duration_ms"]) for row in rows] == [
        ("pending", "6000"),
        ("processing", "10000"),
        ("failed", "0"),
        ("pending", "20000"),
        ("processing", "10000"),
        ("completed", ""),
    ]


def test_a_limit_keeps_the_newest_rows_and_says_that_it_cut(ask: Ask) -> None:
    cut, whole = ask("sessions", "--limit", "2"), ask("sessions", "--limit", "9")

    assert [row["session_id"] for row in cut.rows()] == ["b3", "b4"]
    assert cut.err == "Older rows are left out: these are the newest 2. Add --limit N for more of them.\n"
    assert (len(whole.rows()), whole.err) == (9, "")


def test_sessions_stop_at_a_thousand_unless_told_otherwise(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    report = SessionManager.report

    def spy(manager: SessionManager, name: str, **filters: object) -> object:
        given.append(filters["limit"])
        return report(manager, name, **filters)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionManager, "report", spy)
    ask("sessions")
    ask("sessions", "--limit", "5000")
    ask("hourly")

    assert given == [1001, 5001, None]


def test_without_a_name_the_reports_are_listed_with_what_they_answer(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask()

    assert answer.code == 0
    assert [row["report"] for row in answer.rows()] == [typed(name) for name in KINDS]
    assert all(row["answers"] for row in answer.rows())


@pytest.mark.parametrize(
    ("arguments", "complaints"),
    [
        (["huorly"], ["there is no report 'huorly'; did you mean hourly?", "what happened in each hour"]),
        (["qqq"], ["there is no report 'qqq'; take one of those above.", "status-durations"]),
        (["--since", "7d"], ["name a report; `sessionstore report` alone lists them."]),
        (["hourly", "--since", "soon"], ["--since", "'soon' is no moment; write a date (2026-03-01)"]),
        (["hourly", "--until", "3y"], ["--until", "'3y' is no moment"]),
        (["hourly", "--since", "1d", "--until", "2d"], ["1d does not lie before --until 2d"]),
        (["hourly", "--limit", "0"], ["--limit"]),
        (["hourly", "--format", "xml"], ["--format", "table", "tsv", "csv", "json"]),
        (["hourly", "--format", "csv", "--json"], ["give only one of --format, --json and --plot."]),
        (["hourly", "--json", "--plot", "hourly.svg"], ["give only one of --format, --json and --plot."]),
        (["costs", "--media-type", "cartoon"], ["--media-type", "report costs does not take it; leave it out."]),
        (["durations", "--limit", "3"], ["--limit", "report durations does not take it", "sessions, hourly, daily"]),
        (["timeline"], ["report timeline is about one session: add --session ID"]),
        (["timeline", "--session", "b1", "--since", "7d"], ["--since", "report timeline does not take it"]),
        (["hourly", "--session", "b1"], ["--session", "report hourly does not take it", "These do: timeline."]),
        (["costs", "--plot", "costs.png"], ["report costs cannot be drawn; these can: hourly, daily, durations,"]),
        (["hourly", "--plot", "hourly.pdf"], ["hourly.pdf ends in neither of .png and .svg."]),
        (["hourly", "--plot", "nowhere/hourly.svg"], ["there is no folder nowhere; make it first."]),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_store_is_opened(
    arguments: list[str], complaints: list[str], ask: Ask, tmp_path: Path
) -> None:
    answer = ask(*arguments, database=tmp_path / "nothing.db")

    assert (answer.code, answer.out) == (2, "")
    assert [each for each in complaints if each not in answer.complaint()] == []


def test_a_session_that_never_was_is_an_error_in_one_line(ask: Ask) -> None:
    answer = ask("timeline", "--session", "z9")

    assert answer.code == 1
    assert answer.err.startswith("sessionstore: there is no session 'z9'")
    assert len(answer.err.splitlines()) == 1


def test_looking_makes_no_database(ask: Ask, tmp_path: Path) -> None:
    answer = ask("hourly", database=tmp_path / "nothing.db")

    assert answer.code == 1
    assert "there is no database" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("name", VIEWS)
def test_a_table_fits_the_terminal_and_says_what_it_left_out(name: str, columns: int, ask: Ask) -> None:
    whole = ask(typed(name)).out.splitlines()[0].split("\t")

    answer = ask(typed(name), "--format", "table", columns=columns)

    assert max(map(len, answer.out.splitlines())) <= columns
    headings = " ".join(answer.out.split("─")[0].split())
    left_out = answer.err.removeprefix("No room for ").split(":")[0].split(", ")
    shown = [column for column in whole if column not in left_out]
    words = {word for column in shown for word in column.removesuffix("_ms").removesuffix("_micros").split("_")}
    assert {word for word in words if word not in headings} == set()
    assert columns == 80 or name == "sessions" or answer.err == ""


def test_a_table_says_figures_as_people_do(ask: Ask) -> None:
    daily = ask("daily", "--format", "table", columns=200).out
    costs = ask("costs", "--format", "table").out

    assert "50.0 %" in daily
    assert "32.5 s" in daily
    assert "0.28" in costs
    assert "cost_micros" not in costs


def test_a_table_shows_no_control_character_of_a_message(ask: Ask) -> None:
    out = ask("failures", "--format", "table", columns=200).out

    assert 'the provider said "no", twice\\nand hung up' in out


def test_a_message_looks_the_same_in_a_list_and_in_a_report(tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    with SessionManager(database_url=f"sqlite:///{database}") as manager:
        manager.create_session({"story_text": "A lamp."}, session_id="a")
        manager.update_session_status("a", "failed", "C:\\out\x1b[2J\x07\tis\r\ngone")

    for command in (["list"], ["report", "sessions"], ["report", "failures"]):
        seen = on_a_terminal(*command, "--database", str(database), folder=tmp_path, columns=200)
        assert r"C:\out\x1b[2J\x07\tis\r\ngone " in seen, command


def test_hours_and_days_have_a_line_of_what_completed_and_what_failed(ask: Ask) -> None:
    lines = ask("hourly", "--format", "table").out.splitlines()

    # From 8 on March 1st to 9 on the 2nd, an hour each.
    assert lines[1] == f"completed  █··▄{'·' * 21}▄  4, at most 2 an hour"
    assert lines[2] == f"failed     ▄{'·' * 24}█  3, at most 2 an hour"
    assert ask("daily", "--format", "table").out.splitlines()[1] == "completed  █▃  4, at most 3 a day"


def test_a_distribution_has_bars_and_shows_its_gaps(ask: Ask) -> None:
    lines = ask("distribution", "--format", "table", "--media-type", "cinematic").out.splitlines()

    generation = [line.split()[2:] for line in lines if line.startswith("cinematic   generation")]
    assert generation[0] == ["3.0", "s", "1", "█" * 30]
    assert generation[1] == ["5.0", "s", "0"]


def test_a_terminal_gets_a_table_and_a_pipe_does_not(store: Path, tmp_path: Path) -> None:
    seen = on_a_terminal("report", "sessions", "--database", str(store), folder=tmp_path, columns=120)

    assert "sessions: every session, living or gone" in seen
    assert "a1" in seen
    assert "\t" not in seen


def test_a_report_without_rows_says_so_on_a_terminal(ask: Ask) -> None:
    answer = ask("sessions", "--format", "table", "--media-type", "realistic")

    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "Report sessions has no rows here.\n"
