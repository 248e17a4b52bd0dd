"""The commands, and what their failures exit with."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from sessionstore.cli import (
    changing,
    copying,
    demo,
    examining,
    following,
    reading,
    reporting,
    tracking,
    verifying,
    working,
)
from sessionstore.cli.output import readable, say
from sessionstore.errors import SchemaError, SessionManagerError
from sessionstore.models import FAILED, SCHEMA_OUT_OF_DATE

USAGE = 2
INTERRUPTED = 130

app = typer.Typer(
    help="Look after a store of generation sessions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo.demo,
    working.worker,
    tracking.cancel,
    tracking.retry,
    reading.list_,
    reading.show,
    following.watch,
    following.top,
    reading.stats,
    reading.health,
    reporting.report,
    reading.metrics,
    changing.cleanup,
    changing.remove,
    changing.migrate,
    examining.check,
    verifying.verify,
    copying.backup,
    copying.snapshot,
    copying.restore,
    reading.config,
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(tracking.held, name="held")


def run() -> int:
    """Runs the command that the arguments name; its exit code."""
    if any(readable(argument) != argument for argument in sys.argv[1:]):
        say("sessionstore: an argument holds control characters, and could not be repeated in an answer")
        return USAGE
    try:
        app()
    except SchemaError as error:
        say(f"sessionstore: {error}")
        return SCHEMA_OUT_OF_DATE
    except (SessionManagerError, ValueError, OSError) as error:
        say(f"sessionstore: {error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sessionstore {version('sessionstore')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
