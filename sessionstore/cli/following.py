"""Commands that stay and look: watch, top."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_json
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sessionstore.cli.opening import AsJson, Database, open_manager
from sessionstore.cli.output import console, is_for_people, plain_line, print_json, print_rows, readable_line, say
from sessionstore.errors import SessionCorruptedError
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
    """Show what is worked on, what waits, and the newest that are finished, for as long as you look."""
    with open_manager(database) as manager:
        if as_json or not is_for_people():
            _print_survey(_survey(manager, ROWS_ON_A_PIPE), as_json)
        elif once:
            console().print(_table(_survey(manager, _rows_that_fit())))
        else:
            _stay(manager)


@dataclass(frozen=True)
class Survey:
    """How many sessions there are of each status, and those of most interest, the most first.

    Without those of `unreadable`, by id: what is stored for them no longer validates.
    """

    counts: dict[str, int]
    sessions: list[GenerationSession]
    unreadable: list[str]

    def as_dict(self) -> dict[str, Any]:
        return {"status_breakdown": self.counts, "sessions": self.sessions}

    def heading(self) -> str:
        counted = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{sum(self.counts.values())} sessions: {counted}{self.note()}"

    def note(self) -> str:
        """Of what is left out; the first by name, for one line is all there is."""
        if not self.unreadable:
            return ""
        named = self.unreadable[0] + (", ..." if len(self.unreadable) > 1 else "")
        return f"; {len(self.unreadable)} cannot be read: {named}"


def _print_survey(survey: Survey, as_json: bool) -> None:
    if as_json:
        print_json(survey.as_dict())
    else:
        print_rows(TOP_COLUMNS, [_row(session) for session in survey.sessions])
    for session_id in survey.unreadable:
        say(f"left out session {session_id!r}, which cannot be read: recover_corrupted_session() resets it")


def _survey(manager: "SessionManager", rows: int) -> Survey:
    """Active sessions, then pending ones, then finished ones; at most `rows`, the newest of each status.

    Among the finished ones those that ended last come first; one that was made long ago may be older than all shown.
    """
    counts = manager.get_performance_stats()["status_breakdown"]
    # By id, for one that changes between two looks is found twice.
    found: dict[str, GenerationSession] = {}
    unreadable: list[str] = []
    for statuses in OF_MOST_INTEREST:
        wanted = rows - len(found)
        if wanted > 0:
            newest = [session for status in statuses for session in _newest(manager, status, wanted, unreadable)]
            group = [session for session in newest if session.session_id not in found]
            group.sort(key=lambda session: session.finished_at or session.created_at, reverse=True)
            found |= {session.session_id: session for session in group[:wanted]}
    return Survey(counts, list(found.values()), unreadable)


def _newest(
    manager: "SessionManager", status: GenerationStatus, limit: int, unreadable: list[str], **window: datetime
) -> list[GenerationSession]:
    """Those of a status that can be read, around each that cannot, whose id is added to `unreadable`.

    What was made in the same millisecond as such a one is left out with it.
    """
    try:
        return manager.list_sessions(status=status, limit=limit, **window).sessions  # type: ignore[arg-type]
    except SessionCorruptedError as error:
        unreadable.append(error.session_id)
        moments = [
            datetime.fromisoformat(info["created_at"])
            for info in manager.get_all_sessions_info()
            if info["session_id"] == error.session_id
        ]
    found: list[GenerationSession] = []
    # None, when it went meanwhile: the next look shows the others.
    for moment in moments:
        found = _newest(manager, status, limit, unreadable, **window | {"created_after": moment})
        if len(found) < limit:
            older = window | {"created_before": moment}
            found += _newest(manager, status, limit - len(found), unreadable, **older)
    return found


def _stay(manager: "SessionManager") -> None:
    """Draws until it is interrupted."""
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_table(_survey(manager, _rows_that_fit())), refresh=True)
            time.sleep(REDRAW_SECONDS)


def _rows_that_fit() -> int:
    return max(1, console().size.height - LINES_AROUND_ROWS)


def _table(survey: Survey) -> Table:
    table = Table(title=readable_line(survey.heading()), title_justify="left", header_style="bold", expand=True)
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
