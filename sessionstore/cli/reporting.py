"""The command report: a question about all sessions, answered as a table, as data, or as a picture."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sessionstore.cli.opening import AsJson, Database, open_manager
from sessionstore.cli.output import is_for_people, print_csv, print_json, print_rows, print_tsv, readable, say
from sessionstore.cli.reports.kinds import KINDS, typed
from sessionstore.cli.reports.questions import Question, check_plot, question
from sessionstore.cli.reports.tables import print_table
from sessionstore.clock import utc_now
from sessionstore.models import Report


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    TSV = "tsv"
    CSV = "csv"
    JSON = "json"


def report(
    name: Annotated[str | None, typer.Argument(help="Which; without it they are listed.", show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From then on: 2026-03-01, 2026-03-01T08:30Z, 90m, 24h, 7d, 2w, today."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Before then; a date is its midnight.")] = None,
    media_type: Annotated[str | None, typer.Option(help="Only that.")] = None,
    session_id: Annotated[str | None, typer.Option("--session", metavar="ID", help="The timeline's session.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The newest rows only; 1000 of sessions and all of others by default.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="By default table on a terminal, tsv on a pipe.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it instead, as .png or .svg.")] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Report on sessions, those that are gone too. Hours and days are UTC."""
    options: dict[str, Any] = {"--since": since, "--until": until, "--media-type": media_type}
    options |= {"--session": session_id, "--limit": limit, "--plot": plot}
    given = {option: value for option, value in options.items() if value is not None}
    if name is None:
        _list_reports(is_alone=not given and format_ is None)
        return
    asked = question(name, given, utc_now())
    format_ = _checked_format(format_, as_json, plot)
    if plot is None:
        _print_answer(asked, format_, database)
    else:
        check_plot(plot)
        _draw_answer(asked, plot, database)


def _list_reports(*, is_alone: bool) -> None:
    if not is_alone:
        raise typer.BadParameter("name a report; `sessionstore report` alone lists them.", param_hint="NAME")
    print_rows(["report", "answers"], [[typed(name), kind.answers] for name, kind in KINDS.items()])


def _checked_format(format_: Format | None, as_json: bool, plot: Path | None) -> Format:
    """The one format that was asked for, or what suits who is looking."""
    asked_for = {each for each in (format_, Format.JSON if as_json else None) if each is not None}
    if len(asked_for) + (plot is not None) > 1:
        raise typer.BadParameter("give only one of --format, --json and --plot.")
    return asked_for.pop() if asked_for else Format.TABLE if is_for_people() else Format.TSV


def _print_answer(asked: Question, format_: Format, database: str | None) -> None:
    limit = asked.limit
    with open_manager(database) as manager:
        # One row more than is shown tells whether there are older ones.
        found = manager.report(asked.name, **asked.filters, limit=None if limit is None else limit + 1)
    is_cut = limit is not None and len(found.rows) > limit
    _print(found.model_copy(update={"rows": found.rows[1:]}) if is_cut else found, format_)
    if is_cut:
        say(f"Older rows are left out: these are the newest {limit:,}. Add --limit N for more of them.")


def _print(found: Report, format_: Format) -> None:
    if format_ is Format.JSON:
        print_json([dict(zip(found.columns, row, strict=True)) for row in found.rows])
    elif format_ is Format.CSV:
        print_csv(found.columns, found.rows)
    elif format_ is Format.TSV:
        print_tsv(found.columns, found.rows)
    else:
        print_table(found)


def _draw_answer(asked: Question, path: Path, database: str | None) -> None:
    with open_manager(database) as manager:
        parts = {part: manager.report(part, **asked.filters) for part in asked.kind.drawn_from}
    from sessionstore.cli.reports.pictures import draw  # noqa: PLC0415 - it takes a second to import

    draw(parts, asked, path)
    print(f"Saved {readable(path)}.")
