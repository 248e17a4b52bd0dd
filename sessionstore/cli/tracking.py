"""Commands about what workers do: cancel, retry, and the paid calls that are held for a person."""

from typing import TYPE_CHECKING, Annotated

import typer

from sessionstore.cli.opening import AsJson, Database, open_manager
from sessionstore.cli.output import print_json, print_rows, say

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager

HELD_COLUMNS = ["call_id", "session_id", "scene", "provider", "held_at", "reason", "request"]

SessionIds = Annotated[list[str], typer.Argument(help="The sessions.")]
CallId = Annotated[str, typer.Argument(help="The call, as `held` lists it.")]


def cancel(session_ids: SessionIds, database: Database = None) -> None:
    """Cancel sessions: a pending one never starts, and whoever works on one can write no more."""
    with open_manager(database) as manager:
        refused = [session_id for session_id in session_ids if not _is_cancelled(manager, session_id)]
    if refused:
        raise typer.Exit(1)


def _is_cancelled(manager: "SessionManager", session_id: str) -> bool:
    if manager.cancel_session(session_id):
        print(f"{session_id} is cancelled.")
        return True
    _say_why_not(manager, session_id, "there is nothing to cancel")
    return False


def retry(
    session_id: Annotated[str, typer.Argument(help="The session.")],
    scenes: Annotated[
        list[int] | None, typer.Option("--scene", min=0, help="A scene to make again; may be repeated.")
    ] = None,
    database: Database = None,
) -> None:
    """Put a failed or cancelled session back to pending; with --scene a completed one too. What was saved stays."""
    with open_manager(database) as manager:
        if manager.retry_session(session_id, scenes):
            print(f"{session_id} is pending again.")
            return
        _say_why_not(
            manager, session_id, "there is nothing to retry; --scene makes single scenes again once it is finished"
        )
    raise typer.Exit(1)


def _say_why_not(manager: "SessionManager", session_id: str, advice: str) -> None:
    session = manager.get_session(session_id)
    if session is None:
        say(f"sessionstore: there is no session {session_id!r}; `sessionstore show` says whether there was one")
    else:
        say(f"sessionstore: session {session_id!r} is {session.status}: {advice}")


held = typer.Typer(help="List paid calls that are held, since nobody can tell whether they were made; and decide.")


@held.callback(invoke_without_command=True)
def list_held(context: typer.Context, as_json: AsJson = False, database: Database = None) -> None:
    if context.invoked_subcommand is not None:
        # Given before the subcommand, it holds for that too.
        context.obj = database
        return
    with open_manager(database) as manager:
        calls = manager.list_held_calls()
    if as_json:
        print_json(calls)
        return
    print_rows(
        HELD_COLUMNS,
        [
            [call.call_id, call.session_id, call.scene_number, call.provider, call.held_at, call.reason, call.request]
            for call in calls
        ],
    )
    if calls:
        say("Look each up at its provider: `held attach CALL JOB` if it was made, `held retry CALL` if it was not.")


@held.command()
def attach(
    context: typer.Context,
    call_id: CallId,
    job_id: Annotated[str, typer.Argument(help="The provider's id of the job.")],
    database: Database = None,
) -> None:
    """The call was made, as this job: its session goes on and asks for the result."""
    with open_manager(database or context.obj) as manager:
        _require_held(manager.attach_job(call_id, job_id), call_id)
    print(f"{call_id} is job {job_id}; its session goes on with it.")


@held.command("retry")
def retry_call(context: typer.Context, call_id: CallId, database: Database = None) -> None:
    """The call was not made, or may be paid again: its session goes on and makes it."""
    with open_manager(database or context.obj) as manager:
        _require_held(manager.allow_retry(call_id), call_id)
    print(f"{call_id} may be made again; its session goes on.")


def _require_held(was_held: bool, call_id: str) -> None:
    if not was_held:
        say(f"sessionstore: there is no held call {call_id!r}; `sessionstore held` lists those there are")
        raise typer.Exit(1)
