"""`sessionstore verify` as its users meet it: exit codes, JSON, tab-separated lines, the page, and a terminal."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sessionstore import SessionManager
from sessionstore.cli.app import app
from sessionstore.models import Finding
from sessionstore.verification.page import render
from sessionstore.verification.verdicts import Result, ScenarioName, Verdict, Verification
from sessionstore.verification.wording import command, headline
from tests.concurrency import request
from tests.test_cli import on_a_terminal

DISK_ONLY = ("--scenario", "disk", "--seconds", "1")


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def result(verdict: Verdict, **changed: object) -> Result:
    given: dict[str, object] = {
        "scenario": ScenarioName.KILL,
        "promise": "It holds.",
        "verdict": verdict,
        "extent": "3 kills",
        "seconds": 1.5,
        "reasons": [],
        "notes": [],
        "figures": {"worst_reopen_ms": 12.34, "acknowledged_writes": 12345, "largest_bytes": 2_500_000},
    }
    return Result(**given | changed)  # type: ignore[arg-type]


def verification(*results: Result, database_url: str = "sqlite:///stories.db") -> Verification:
    return Verification(
        database_url=database_url,
        folder="/data",
        file_system="ext4 on /dev/sda1",
        machine="Linux 6, 2 cores",
        version="1.0",
        durability="full",
        max_bytes=256_000_000,
        budget_seconds=30,
        begun_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seconds=29.5,
        findings=[Finding(check="integrity", severity="ok", message="every page is sound")],
        results=list(results),
    )


class Page(HTMLParser):
    """The names of its elements, those that are open, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_held_exits_with_zero_and_is_told_beside_a_database_that_stays_as_it_is(tmp_path: Path) -> None:
    with SessionManager(database_url="sqlite:///stories.db") as manager:
        manager.create_session(request())
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}

    done = CliRunner().invoke(app, ["verify", "stories.db", *DISK_ONLY, "--json", "--page", "page.html"])

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["verdict"], told["results"][0]["scenario"]) == ("held", "disk")
    assert told["results"][0]["figures"]["p50_sync_ms"] > 0
    assert "Everything held." in Page(Path("page.html").read_text(encoding="utf-8")).text
    Path("page.html").unlink()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_what_did_not_hold_exits_with_one_and_is_told_in_a_line_and_on_the_page(plant: Callable[..., None]) -> None:
    plant("no locks")

    done = CliRunner().invoke(app, ["verify", "--database", "stories.db", *DISK_ONLY, "--page", "page.html"])

    columns, line = (line.split("\t") for line in done.stdout.splitlines())
    told = dict(zip(columns, line, strict=True))
    assert done.exit_code == 1
    assert (told["scenario"], told["result"]) == ("disk", "did not hold")
    assert "given to this one as well" in told["reasons"]
    assert "disk: did not hold" in done.stderr
    page = Path("page.html").read_text(encoding="utf-8")
    assert "1 did not hold." in page
    assert "given to this one as well" in page


def test_a_terminal_of_eighty_columns_gets_a_table_that_fits(tmp_path: Path) -> None:
    seen = on_a_terminal("verify", "stories.db", *DISK_ONLY, folder=tmp_path, columns=80)

    table = seen[seen.index("┏") :].splitlines()
    assert max(map(len, table)) <= 80
    assert "Everything held." in table[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere/at/all.db"],
        ["."],
        ["postgresql://host/stories"],
        ["a.db", "--database", "b.db"],
        ["a.db", "--scenario", "flood"],
        ["a.db", "--seconds", "0"],
        ["a.db", "--max-megabytes", "1000000000"],
        ["a.db", "--durability", "off"],
        ["a.db", "--page", "nowhere/page.html"],
    ],
)
def test_wrong_usage_exits_with_two_and_tries_nothing(arguments: list[str], tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["verify", *arguments]).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_cannot_be_used_is_wrong_usage_and_not_a_broken_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SESSIONSTORE_DURABILITY", "off")

    assert CliRunner().invoke(app, ["verify", "stories.db"]).exit_code == 2


@pytest.mark.parametrize(
    ("verdicts", "verdict", "sentence"),
    [
        ([Verdict.HELD], Verdict.HELD, "Everything held."),
        (
            [Verdict.HELD, Verdict.NOT_TRIED],
            Verdict.HELD,
            "Everything that was tried held: 1 held, 1 not tried.",
        ),
        ([Verdict.HELD, Verdict.DID_NOT_HOLD], Verdict.DID_NOT_HOLD, "1 held, 1 did not hold."),
        ([Verdict.NOT_TRIED, Verdict.NOT_TRIED], Verdict.NOT_TRIED, "2 not tried."),
    ],
)
def test_what_was_not_tried_never_counts_as_held(verdicts: list[Verdict], verdict: Verdict, sentence: str) -> None:
    found = verification(*map(result, verdicts))

    assert found.verdict is verdict
    assert headline(found) == sentence
    assert sentence in Page(render(found)).text


def test_the_page_escapes_everything_and_needs_nothing_else() -> None:
    nasty = "<script>alert('&')</script><b>\""
    found = result(Verdict.DID_NOT_HOLD, reasons=[nasty], notes=[nasty], extent=nasty, figures={"file_system": nasty})

    html = render(verification(found, database_url=f"sqlite:///{nasty}.db"))

    page = Page(html)
    assert page.open == []
    assert page.names.isdisjoint({"script", "b", "img", "link", "iframe"})
    assert page.text.count("<script>") == 6
    assert re.search(r"https?:|url\(|@import", html) is None


def test_figures_are_told_with_their_units() -> None:
    text = Page(render(verification(result(Verdict.HELD)))).text

    for told in ("worst reopen", "12.3 ms", "12,345", "largest size", "2.5 MB"):
        assert told in text


def test_the_command_of_the_page_tries_the_same_again() -> None:
    told = command(verification(result(Verdict.HELD), database_url="sqlite:///my stories.db"))

    assert told == (
        "sessionstore verify 'sqlite:///my stories.db' --seconds 30 --max-megabytes 256 --durability full "
        "--scenario kill"
    )
