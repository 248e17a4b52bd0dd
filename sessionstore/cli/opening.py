"""How the commands open a store: without surprises for a backend that has it open too."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessionstore.settings import ENVIRONMENT_PREFIX, Settings, load_settings

if TYPE_CHECKING:
    from sessionstore.manager import SessionManager

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        "-d",
        metavar="URL_OR_FILE",
        help="The store; without it SESSIONSTORE_DATABASE_URL, else ./sessionstore.db.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_for(database: str | None, **given: Any) -> Settings:
    """The environment's settings, with a command's own: no forgetting at a capacity, no scheduled cleanup."""
    given["cleanup_interval"] = None
    if f"{ENVIRONMENT_PREFIX}MAX_SESSIONS" not in {name.upper() for name in os.environ}:
        given["max_sessions"] = None
    if database is not None:
        given["database_url"] = database if "://" in database else f"sqlite:///{Path(database)}"
    return load_settings(**given)


def open_manager(
    database: str | None, *, auto_migrate: bool = False, is_worker: bool = False, **models: Any
) -> "SessionManager":
    """A manager for one command. Looking at a store does not migrate it, unless that is the command.

    A worker keeps looking for sessions that others left behind, and may have models of its own.
    """
    # SQLAlchemy takes a quarter of a second to import, which `--help` should not have to wait for.
    from sessionstore.manager import SessionManager  # noqa: PLC0415

    looks_only = {"auto_migrate": auto_migrate, "recovery_interval": None, "summary_interval": None}
    given: dict[str, Any] = {"auto_migrate": True} if is_worker else looks_only
    return SessionManager(settings=settings_for(database, **given), **models)
