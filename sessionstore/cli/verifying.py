"""`verify`: tries what the store promises on the disk that a database is on, and tells how it went."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sessionstore.cli.opening import AsJson, Database, settings_for
from sessionstore.cli.output import is_for_people, print_json, say
from sessionstore.cli.verifying_views import lines, live_view, print_results
from sessionstore.settings import Settings
from sessionstore.verification.page import render
from sessionstore.verification.verdicts import MEGABYTE, CannotBeginError, ScenarioName, Verdict


class Durability(StrEnum):
    """The choices of the setting."""

    FULL = "full"
    NORMAL = "normal"


def verify(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL_OR_FILE]", help="As --database. The database need not exist yet.", show_default=False
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=86400, help="For all scenarios together.")] = 30,
    scenario: Annotated[
        list[ScenarioName] | None, typer.Option(help="Only this one; may be repeated.", show_default=False)
    ] = None,
    durability: Annotated[Durability | None, typer.Option(help="Instead of the setting's.", show_default=False)] = None,
    max_megabytes: Annotated[int, typer.Option(min=32, help="So much is on the disk at a time, at most.")] = 256,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML page of it, too.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Try kills, locks, full disks and paused workers in a scratch folder beside a database, which is not touched.

    Fails (exit 1) when something did not hold, or nothing could be tried.
    """
    settings = _settings(url, database, durability)
    if page is not None and not page.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {page.parent}", param_hint="--page")
    # SQLAlchemy takes a quarter of a second to import, which `--help` should not have to wait for.
    from sessionstore.verification.run import verify as try_all  # noqa: PLC0415

    try:
        with live_view() if is_for_people() and not as_json else lines() as watcher:
            found = try_all(
                settings.database_url,
                scenarios=scenario or list(ScenarioName),
                seconds=seconds,
                max_bytes=max_megabytes * MEGABYTE,
                durability=settings.durability,
                lock_timeout=settings.lock_timeout,
                watcher=watcher,
            )
    except CannotBeginError as error:
        raise typer.BadParameter(str(error)) from None
    if page is not None:
        page.write_text(render(found), encoding="utf-8")
        say(f"sessionstore: the page is {page}")
    if as_json:
        print_json({"verdict": found.verdict} | vars(found))
    else:
        print_results(found)
    if found.verdict is not Verdict.HELD:
        raise typer.Exit(1)


def _settings(url: str | None, database: str | None, durability: Durability | None) -> Settings:
    """Exit code 1 means that something did not hold; so what cannot be used at all is wrong usage."""
    if url is not None and database is not None:
        raise typer.BadParameter("give the database once: as the argument, or as --database")
    chosen = {} if durability is None else {"durability": durability.value}
    try:
        return settings_for(url or database, **chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
