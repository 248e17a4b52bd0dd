"""Commands about what workers do: cancel, retry, and the paid calls that are held for a person."""

from typing import TYPE_CHECKING, Annotated

import typer

from sessionstore.cli.opening import AsJson, Database, open_manager
from sessionstore.cli.output import is_for_people, print_facts, print_json, print_rows, say
from sessionstore.models import GenerationSession

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager

HOW_TO_DECIDE = (
    "Look each up at its provider: `sessionstore held attach CALL JOB` if it was made, "
    "`sessionstore held retry CALL` if it was not."
)
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
    _say_why_not(manager.get_session(session_id), session_id, "there is nothing to cancel")
    return False


def retry(
    session_ids: SessionIds,
    scenes: Annotated[
        list[int] | None,
        typer.Option(
            "--scene", min=0, help="A scene to make again, and pay again; may be repeated.", show_default=False
        ),
    ] = None,
    database: Database = None,
) -> None:
    """Put failed or cancelled sessions back to pending; with --scene completed ones too. Other scenes stay."""
    with open_manager(database) as manager:
        refused = [session_id for session_id in session_ids if not _is_put_back(manager, session_id, scenes)]
    if refused:
        raise typer.Exit(1)


def _is_put_back(manager: "SessionManager", session_id: str, scenes: list[int] | None) -> bool:
    if manager.retry_session(session_id, scenes):
        print(f"{session_id} is pending again.")
        return True
    session = manager.get_session(session_id)
    if session is not None and session.status.is_active():
        advice = "whoever works on it loses it when you `cancel` it; then it can be put back"
    else:
        advice = "there is nothing to put back; --scene has scenes of a completed session made again"
    _say_why_not(session, session_id, advice)
    return False


def _say_why_not(session: GenerationSession | None, session_id: str, advice: str) -> None:
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
    rows = [
        [call.call_id, call.session_id, call.scene_number, call.provider, call.held_at, call.reason, call.request]
        for call in calls
    ]
    if not is_for_people():
        print_rows(HELD_COLUMNS, rows)
        return
    for row in rows:
        print_facts(dict(zip(HELD_COLUMNS, row, strict=True)))
    print(HOW_TO_DECIDE if calls else "No paid call is held.")


@held.command()
def attach(
    context: typer.Context,
    call_id: CallId,
    job_id: Annotated[str, typer.Argument(help="The provider's id of the job.")],
    database: Database = None,
) -> None:
    """The call was made, as this job: its session goes on and asks for the result."""
    with open_manager(database or context.obj) as manager:
        session_id = _session_of_held(manager, call_id)
        manager.attach_job(call_id, job_id)
        print(f"{call_id} is job {job_id}; {_what_comes_next(manager, session_id)}")


@held.command("retry")
def retry_call(context: typer.Context, call_id: CallId, database: Database = None) -> None:
    """The call was not made, or may be paid again: its session goes on and makes it."""
    with open_manager(database or context.obj) as manager:
        session_id = _session_of_held(manager, call_id)
        manager.allow_retry(call_id)
        print(f"{call_id} may be made again; {_what_comes_next(manager, session_id)}")


def _session_of_held(manager: "SessionManager", call_id: str) -> str:
    for call in manager.list_held_calls():
        if call.call_id == call_id:
            return call.session_id
    say(f"sessionstore: there is no held call {call_id!r}; `sessionstore held` lists those there are")
    raise typer.Exit(1)


def _what_comes_next(manager: "SessionManager", session_id: str) -> str:
    others = sum(call.session_id == session_id for call in manager.list_held_calls())
    session = manager.get_session(session_id)
    if session is None:
        return "its session is gone."
    if others:
        return f"session {session_id} waits for {others} more of its calls."
    if session.status.is_terminal():
        return f"session {session_id} is {session.status}; `sessionstore retry {session_id}` puts it back."
    return f"session {session_id} is {session.status}."
