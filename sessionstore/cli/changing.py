"""Commands that change a store: cleanup, remove, migrate."""

import sys
from typing import Annotated

import typer

from sessionstore.cli.opening import Database, open_manager
from sessionstore.cli.output import say

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


def cleanup(
    max_age_hours: Annotated[
        float | None, typer.Option(min=0, help="Unfinished sessions expire at that age; the setting, by default.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed sessions instead, however young.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All sessions instead.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    database: Database = None,
) -> None:
    """Remove expired sessions. Each leaves a tombstone."""
    if failed + everything + (max_age_hours is not None) > 1:
        raise typer.BadParameter("give only one of --max-age-hours, --failed and --all")
    with open_manager(database) as manager:
        by_status = manager.get_performance_stats()["status_breakdown"]
        if everything:
            what, number, clean = "sessions", sum(by_status.values()), manager.force_cleanup_all
        elif failed:
            what, number, clean = "failed sessions", by_status["failed"], manager.cleanup_failed_sessions
        else:
            what, number = "expired sessions", manager.count_expired_sessions(max_age_hours)

            def clean() -> int:
                return manager.cleanup_expired_sessions(max_age_hours)

        if dry_run:
            print(f"{number} {what} would go.")
        elif number == 0 or _is_agreed(f"Remove {number} {what}?", yes):
            print(f"{clean()} {what} are gone.")


def remove(
    session_ids: Annotated[list[str], typer.Argument(help="The sessions.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    database: Database = None,
) -> None:
    """Remove sessions. Each leaves a tombstone."""
    with open_manager(database) as manager:
        found = [session_id for session_id in session_ids if manager.get_session(session_id) is not None]
        if dry_run:
            for session_id in found:
                print(f"{session_id} would go.")
        elif found and _is_agreed(f"Remove {len(found)} sessions?", yes):
            for session_id in found:
                manager.remove_session(session_id)
                print(f"{session_id} is gone.")
    missing = [session_id for session_id in session_ids if session_id not in found]
    for session_id in missing:
        say(f"sessionstore: there is no session {session_id!r}")
    if missing:
        raise typer.Exit(1)


def migrate(database: Database = None) -> None:
    """Make the database, or bring its schema up to date. Backends may have it open meanwhile."""
    with open_manager(database, auto_migrate=True) as manager:
        findings = {finding.check: finding.message for finding in manager.check()}
    print(f"Done: {findings['schema_revision']}.")


def _is_agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask; add --yes", param_hint="--yes")
    return typer.confirm(question, abort=True)
