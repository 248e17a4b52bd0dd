"""What the options of `report` ask for, checked before any store is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from sessionstore.cli.output import extra_is_missing, say
from sessionstore.cli.reports.kinds import DRAWABLE, KINDS, ReportKind, similar, typed
from sessionstore.cli.reports.moments import parse_moment

PICTURES = (".png", ".svg")
# What the manager calls them.
FILTERS = {"--media-type": "media_type", "--session": "session_id"}


@dataclass(frozen=True, slots=True)
class Question:
    """A report, what `manager.report` is given for it, and the most rows that are shown; None for all.

    `now` is when it was asked: where a window without an end ends.
    """

    name: str
    filters: Mapping[str, Any]
    limit: int | None
    now: datetime

    @property
    def kind(self) -> ReportKind:
        return KINDS[self.name]


def question(name: str, given: Mapping[str, Any], now: datetime) -> Question:
    """The question that these options ask; `given` has those that were typed, by their names.

    Raises:
        typer.BadParameter: saying what to do instead.
    """
    wanted = name.replace("-", "_")
    if wanted not in KINDS:
        _say_reports()
        meant = similar(name)
        raise typer.BadParameter(
            f"there is no report {name!r}; {f'did you mean {meant}?' if meant else 'take one of those above.'}"
        )
    kind = KINDS[wanted]
    for option in given:
        if option not in kind.takes:
            _refuse(name, option)
    if "--session" in kind.takes and "--session" not in given:
        raise typer.BadParameter(
            f"report {name} is about one session: add --session ID (`sessionstore list` has them).",
            param_hint="--session",
        )
    filters = _window(given, now)
    filters |= {key: given[option] for option, key in FILTERS.items() if option in given}
    return Question(wanted, filters, given.get("--limit", kind.limit), now)


def _refuse(name: str, option: str) -> None:
    if option == "--plot":
        names = ", ".join(typed(each) for each in DRAWABLE)
        raise typer.BadParameter(f"report {name} cannot be drawn; these can: {names}.", param_hint=option)
    takers = ", ".join(typed(each) for each, kind in KINDS.items() if option in kind.takes)
    raise typer.BadParameter(f"report {name} does not take it; leave it out. These do: {takers}.", param_hint=option)


def _window(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    window = {}
    for option in ("--since", "--until"):
        if option in given:
            try:
                window[option[2:]] = parse_moment(given[option], now)
            except ValueError as error:
                raise typer.BadParameter(f"{error}.", param_hint=option) from None
    if len(window) == 2 and window["since"] >= window["until"]:
        raise typer.BadParameter(
            f"{given['--since']} does not lie before --until {given['--until']}; nothing would be between them.",
            param_hint="--since",
        )
    return window


def check_plot(path: Path) -> None:
    """Refuses what could not be drawn, so that nobody waits for rows first.

    Raises:
        typer.BadParameter: when no picture can be there.
        typer.Exit: when matplotlib is missing, which was said then.
    """
    if path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"{path} ends in neither of {' and '.join(PICTURES)}.", param_hint="--plot")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}; make it first.", param_hint="--plot")
    if find_spec("matplotlib") is None:
        raise extra_is_missing("--plot needs matplotlib", "plot")


def _say_reports() -> None:
    width = max(map(len, KINDS)) + 2
    for name, kind in KINDS.items():
        say(f"  {typed(name):<{width}}{kind.answers}")
