"""Commands that only look: list, show, stats, health, metrics, config."""

import sys
from typing import Annotated, Any

import typer

from sessionstore.cli.opening import AsJson, Database, open_manager, settings_for
from sessionstore.cli.output import extra_is_missing, is_for_people, print_facts, print_json, print_rows, say
from sessionstore.models import GenerationSession, GenerationStatus
from sessionstore.settings import ENVIRONMENT_PREFIX, Settings, without_secrets

LIST_COLUMNS = ["session_id", "status", "scenes", "progress", "media_type", "created_at", "updated_at", "error_message"]


def list_(
    status: Annotated[GenerationStatus | None, typer.Option(help="Only those.")] = None,
    media_type: Annotated[str | None, typer.Option(help="Only those.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Sessions on a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """List sessions, newest first, a page at a time."""
    with open_manager(database) as manager:
        page = manager.list_sessions(status=status, media_type=media_type, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    print_rows(LIST_COLUMNS, [_line(session) for session in page.sessions])
    if page.next_cursor:
        say(f"There are more: add --cursor {page.next_cursor}")


def _line(session: GenerationSession) -> list[Any]:
    return [
        session.session_id,
        session.status,
        f"{len(session.scenes)}/{session.request_data.num_scenes}",
        f"{session.get_completion_percentage():g}%",
        session.request_data.media_type,
        session.created_at,
        session.updated_at,
        session.error_message,
    ]


def show(
    session_id: Annotated[str, typer.Argument(help="The session.")],
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Show one session with its scenes, or say why it is gone."""
    with open_manager(database) as manager:
        session = manager.get_session(session_id)
        tombstone = manager.find_tombstone(session_id) if session is None else None
    if session is not None:
        print_json(session) if as_json else print_session(session)
        return
    if tombstone is None:
        say(f"sessionstore: there is no session {session_id!r}, and never was one")
    else:
        say(
            f"sessionstore: session {session_id!r} is gone: {tombstone.reason} at {tombstone.gone_at:%Y-%m-%d %H:%M:%S}"
            f" UTC, when it was {tombstone.status} with {tombstone.scenes_done} scenes"
        )
    raise typer.Exit(1)


def print_session(session: GenerationSession) -> None:
    """A session as two tables; on a pipe as one list of facts, scenes under their numbers."""
    facts: dict[str, Any] = session.model_dump(exclude={"scenes", "request_data", "progress", "metadata"})
    facts["progress"] = f"{session.get_completion_percentage():g}%"
    facts["step"] = session.progress.description if session.progress else None
    facts["request"] = session.request_data.model_dump()
    facts["metadata"] = session.metadata
    if not is_for_people():
        facts["scenes"] = {scene.scene_number: scene.model_dump() for scene in session.scenes}
        print_facts(facts)
        return
    print_facts(facts, title="Session")
    print_rows(
        ["scene", "title", "description", "image_url", "image_path"],
        [
            [scene.scene_number, scene.title, scene.description, scene.image_url, scene.image_path]
            for scene in session.scenes
        ],
        title="Scenes",
    )


def stats(as_json: AsJson = False, database: Database = None) -> None:
    """Show counts and ages of the sessions."""
    with open_manager(database) as manager:
        figures = manager.get_performance_stats()
    print_json(figures) if as_json else print_facts(figures)


def health(as_json: AsJson = False, database: Database = None) -> None:
    """Show how the store stands; fails (exit 1) when it is critical."""
    with open_manager(database) as manager:
        state = manager.get_health_status()
    # Whether the backend's own cleanup runs cannot be known from here.
    del state["cleanup_active"]
    print_json(state) if as_json else print_facts(state)
    if state["overall_health"] == "critical":
        raise typer.Exit(1)


def metrics(database: Database = None) -> None:
    """Print metrics of the store in the text format of Prometheus."""
    try:
        from sessionstore.metrics import as_text  # noqa: PLC0415 - it needs an extra that may not be installed
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise extra_is_missing("metrics need prometheus_client", "metrics") from None
    with open_manager(database) as manager:
        text = as_text(manager.get_metrics())
    sys.stdout.buffer.write(text)


def config(as_json: AsJson = False, database: Database = None) -> None:
    """Show every setting, its value for the command line, and the variable that sets it."""
    values = settings_for(database).model_dump()
    values["database_url"] = without_secrets(values["database_url"])
    if as_json:
        print_json(values)
        return
    print_rows(
        ["setting", "value", "variable", "meaning"],
        [
            [
                name,
                "none" if values[name] is None else values[name],
                ENVIRONMENT_PREFIX + name.upper(),
                field.description,
            ]
            for name, field in Settings.model_fields.items()
        ],
    )
