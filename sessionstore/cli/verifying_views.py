"""How `verify` looks: while it runs, live for people and in lines otherwise; and at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sessionstore.cli.output import console, is_for_people, print_rows, readable_line, say
from sessionstore.verification.verdicts import Result, ScenarioName, Verdict, Verification
from sessionstore.verification.wording import headline, readable_figures

COLUMNS = ["scenario", "promise", "how_often", "seconds", "result", "figures", "reasons", "notes"]
STYLES = {Verdict.HELD: "green", Verdict.DID_NOT_HOLD: "bold red", Verdict.NOT_TRIED: "yellow"}
LOOKS_PER_SECOND = 4


class _Lines:
    """A line on standard error when a scenario begins, and when it ends."""

    def begins(self, name: ScenarioName) -> None:
        say(f"{name}: is tried")

    def says(self, name: ScenarioName, text: str) -> None:
        """Nothing: who reads lines later has no use for how it went meanwhile."""

    def ends(self, result: Result) -> None:
        say(f"{result.scenario}: {result.verdict}" + (f" ({result.extent})" if result.extent else ""))

    def remark(self, text: str) -> None:
        say(f"sessionstore: {text}")


class _LiveView(_Lines):
    """A table that grows; rich asks for it anew some times a second."""

    def __init__(self) -> None:
        self._rows: dict[ScenarioName, tuple[str, Verdict | None, float]] = {}
        self._remarks: list[str] = []

    def begins(self, name: ScenarioName) -> None:
        self._rows[name] = "", None, time.monotonic()

    def says(self, name: ScenarioName, text: str) -> None:
        self._rows[name] = text, None, self._rows[name][2]

    def ends(self, result: Result) -> None:
        self._rows[result.scenario] = result.extent, result.verdict, result.seconds

    def remark(self, text: str) -> None:
        self._remarks.append(f"sessionstore: {text}")

    def __rich__(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, (text, verdict, moment) in list(self._rows.items()):
            seconds = time.monotonic() - moment if verdict is None else moment
            table.add_row(name, _verdict_text(verdict), f"{seconds:.0f} s", readable_line(text))
        return Group(*map(readable_line, self._remarks), table)


@contextmanager
def lines() -> Iterator[_Lines]:
    """For programs, and for logs."""
    yield _Lines()


@contextmanager
def live_view() -> Iterator[_LiveView]:
    """For people; it is wiped away at the end, when the results take its place."""
    view = _LiveView()
    with Live(view, console=console(), refresh_per_second=LOOKS_PER_SECOND, transient=True):
        yield view


def print_results(verification: Verification) -> None:
    """The results as a table; for programs a line for each scenario."""
    if not is_for_people():
        print_rows(COLUMNS, map(_row, verification.results))
        return
    table = Table(header_style="bold", show_lines=True)
    table.add_column("scenario", no_wrap=True)
    table.add_column("promise", ratio=1)
    table.add_column("found", ratio=1)
    for result in verification.results:
        name = Text.assemble(result.scenario, "\n", _verdict_text(result.verdict), f"\n{result.seconds:g} s")
        table.add_row(name, result.promise, _found(result))
    console().print(table)
    console().print(Text(headline(verification), style=STYLES[verification.verdict]))


def _row(result: Result) -> list[str | float]:
    figures = " ".join(f"{name}={value}" for name, value in result.figures.items())
    reasons, notes = "; ".join(result.reasons), " ".join(result.notes)
    return [result.scenario, result.promise, result.extent, result.seconds, result.verdict, figures, reasons, notes]


def _found(result: Result) -> Text:
    figures = ", ".join(f"{name} {value}" for name, value in readable_figures(result))
    found = Text("\n").join(readable_line(line) for line in (result.extent, figures, *result.notes) if line)
    for reason in result.reasons:
        found.append("\n").append(readable_line(reason).plain, style=STYLES[result.verdict])
    return found


def _verdict_text(verdict: Verdict | None) -> Text:
    return Text("...") if verdict is None else Text(verdict, style=STYLES[verdict])
