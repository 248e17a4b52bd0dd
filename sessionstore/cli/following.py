"""Commands that stay and look: watch, top."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_json
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sessionstore.cli.opening import AsJson, Database, open_manager
from sessionstore.cli.output import console, is_for_people, plain_line, print_json, print_rows, readable_line, say
from sessionstore.models import SECONDS_PER_HOUR, GenerationSession, GenerationStatus, SessionChange

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager

WATCH_COLUMNS = [
    *("occurred_at", "event_type", "status", "scene_number", "scenes", "progress", "step", "attempt"),
    *("error_message", "cursor"),
]
TOP_COLUMNS = ["session_id", "status", "progress", "scenes", "age", "step"]

# Where there is no terminal to be filled.
ROWS_ON_A_PIPE = 100
# What a table takes beside its rows: title, edges, header, and the line below.
LINES_AROUND_ROWS = 6
BAR_COLUMNS = 20
# A busy store changes faster than anybody reads, and a survey takes some milliseconds.
REDRAW_SECONDS = 0.5

OF_MOST_INTEREST = (
    [status for status in GenerationStatus if status.is_active()],
    [GenerationStatus.PENDING],
    [status for status in GenerationStatus if status.is_terminal()],
)


def watch(
    session_id: Annotated[str, typer.Argument(help="The session.")],
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="Begin behind this item of before.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    database: Database = None,
) -> None:
    """Print each change of a session as it comes, until it is finished; fails (exit 1) unless it is completed."""
    with open_manager(database) as manager:
        changes, last = manager.watch(session_id, after=after), None
        if not as_json and not is_for_people():
            print(plain_line(WATCH_COLUMNS), flush=True)
        for last in changes:
            _print_change(last, as_json)
        session = last.session if last is not None else manager.get_session(session_id)
        if session is not None and session.status is GenerationStatus.COMPLETED:
            return
        if last is None:
            stands = _how_it_went(manager, session_id) if session is None else f"is {session.status}"
            say(f"nothing happened to session {session_id!r} since that cursor: it {stands}")
    raise typer.Exit(1)


def _how_it_went(manager: "SessionManager", session_id: str) -> str:
    tombstone = manager.find_tombstone(session_id)
    if tombstone is None:
        return "is gone"
    return f"was {tombstone.reason} on {tombstone.gone_at:%Y-%m-%d %H:%M:%S}, as {tombstone.status}"


def _print_change(change: SessionChange, as_json: bool) -> None:
    if as_json:
        print(to_json(change).decode(), flush=True)
    elif is_for_people():
        console().print(readable_line(_sentence(change)), soft_wrap=True)
    else:
        print(plain_line(_facts(change)), flush=True)


def _sentence(change: SessionChange) -> str:
    session, told = change.session, ""
    if change.scene_number is not None:
        told = f"scene {change.scene_number}"
    elif change.event_type in {"state", "progress"} and session is not None and session.progress is not None:
        told = session.progress.description
    elif change.status is GenerationStatus.FAILED and session is not None:
        told = session.error_message or ""
    standing = "" if session is None else f"{_scenes(session):>7} scenes {session.get_completion_percentage():>5g}%"
    when = f"{change.occurred_at:%Y-%m-%d %H:%M:%S}"
    return f"{when}  {change.event_type:<14}  {change.status:<11}  {standing}  {told}".rstrip()


def _facts(change: SessionChange) -> list[Any]:
    session = change.session
    return [
        change.occurred_at,
        change.event_type,
        change.status,
        change.scene_number,
        session and _scenes(session),
        session and f"{session.get_completion_percentage():g}%",
        session and session.progress and session.progress.description,
        change.attempt,
        session and session.error_message,
        change.cursor,
    ]


def top(
    as_json: AsJson = False,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    database: Database = None,
) -> None:
    """Show what is worked on, what waits, and what was finished last, for as long as you look."""
    with open_manager(database) as manager:
        if as_json:
            print_json(_survey(manager, ROWS_ON_A_PIPE).as_dict())
        elif not is_for_people():
            print_rows(TOP_COLUMNS, [_row(session) for session in _survey(manager, ROWS_ON_A_PIPE).sessions])
        elif once:
            console().print(_table(_survey(manager, _rows_that_fit())))
        else:
            _stay(manager)


@dataclass(frozen=True)
class Survey:
    """How many sessions there are of each status, and those of most interest, the most first."""

    counts: dict[str, int]
    sessions: list[GenerationSession]

    def as_dict(self) -> dict[str, Any]:
        return {"status_breakdown": self.counts, "sessions": self.sessions}

    def heading(self) -> str:
        counted = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{sum(self.counts.values())} sessions: {counted}"


def _survey(manager: "SessionManager", rows: int) -> Survey:
    """Active sessions, then pending ones, then those that were finished last; at most `rows`."""
    counts = manager.get_performance_stats()["status_breakdown"]
    # By id, for one that changes between two looks is found twice.
    found: dict[str, GenerationSession] = {}
    for statuses in OF_MOST_INTEREST:
        wanted = rows - len(found)
        if wanted > 0:
            pages = [manager.list_sessions(status=status, limit=wanted) for status in statuses]
            group = [session for page in pages for session in page.sessions if session.session_id not in found]
            group.sort(key=lambda session: session.finished_at or session.created_at, reverse=True)
            found |= {session.session_id: session for session in group[:wanted]}
    return Survey(counts, list(found.values()))


def _stay(manager: "SessionManager") -> None:
    """Draws until it is interrupted."""
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_table(_survey(manager, _rows_that_fit())), refresh=True)
            time.sleep(REDRAW_SECONDS)


def _rows_that_fit() -> int:
    return max(1, console().size.height - LINES_AROUND_ROWS)


def _table(survey: Survey) -> Table:
    table = Table(title=survey.heading(), title_justify="left", header_style="bold", expand=True)
    for column in TOP_COLUMNS:
        # One line a session, so that the number of rows is the number of lines.
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=36 if column == "session_id" else None)
    for session in survey.sessions:
        session_id, status, _, *rest = _row(session)
        bar = ProgressBar(total=100, completed=session.get_completion_percentage(), width=BAR_COLUMNS)
        table.add_row(readable_line(session_id), status, bar, *(readable_line(value or "") for value in rest))
    return table


def _row(session: GenerationSession) -> list[Any]:
    return [
        session.session_id,
        session.status,
        f"{session.get_completion_percentage():g}%",
        _scenes(session),
        str(timedelta(seconds=max(0, int(session.get_age_hours() * SECONDS_PER_HOUR)))),
        session.progress.description if session.progress else None,
    ]


def _scenes(session: GenerationSession) -> str:
    return f"{len(session.scenes)}/{session.request_data.num_scenes}"
