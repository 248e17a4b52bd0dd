"""`worker`: claims pending sessions and has a generator of yours make their scenes."""

import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessionstore.cli.opening import Database, open_manager
from sessionstore.cli.output import say

if TYPE_CHECKING:
    from sessionstore.worker import WorkerPool


def worker(
    generator: Annotated[
        str,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Called with each run; yields its scenes, or saves them itself. The current folder is searched first.",
        ),
    ],
    threads: Annotated[int, typer.Option(min=1, max=1000, help="Sessions worked on at a time.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="What the workers are called; by default HOST-PID.", show_default=False)
    ] = None,
    lease_seconds: Annotated[
        float, typer.Option(min=1, max=86400, help="A worker that is not heard of for so long loses its session.")
    ] = 60,
    poll_seconds: Annotated[float, typer.Option(min=0.01, help="Between two looks when nothing is pending.")] = 1,
    grace_seconds: Annotated[
        float, typer.Option(min=0, help="What a generator gets to come to a stop, before its session is given back.")
    ] = 30,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is pending any more.")] = False,
    database: Database = None,
) -> None:
    """Work on pending sessions until SIGTERM or Ctrl-C; what is not finished then is given back as pending."""
    function = _load(generator)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with open_manager(database, is_worker=True) as manager:
        # With it comes SQLAlchemy, which `--help` should not have to wait for.
        from sessionstore.worker import WorkerPool  # noqa: PLC0415

        pool = WorkerPool(
            manager,
            function,
            name=name or f"{socket.gethostname()}-{os.getpid()}",
            threads=threads,
            lease_seconds=lease_seconds,
            poll_seconds=poll_seconds,
            report=_print_line,
        )
        stop = _Stop(pool)
        pool.run(until_idle=until_idle)
        if stop.was_asked:
            say("sessionstore: stopping; sessions that are not finished are given back")
            if not pool.wait(grace_seconds):
                say(f"sessionstore: a generator did not come to a stop in {grace_seconds:g} s; it is left behind")


def _print_line(line: str) -> None:
    # In one piece, so that workers do not write into each other's.
    print(f"{line}\n", end="", flush=True)


class _Stop:
    """The first SIGTERM or Ctrl-C stops the pool in order; the second ends the process as it would otherwise."""

    def __init__(self, pool: "WorkerPool") -> None:
        self.was_asked = False
        self._pool = pool
        self._before = {each: signal.signal(each, self._handle) for each in (signal.SIGTERM, signal.SIGINT)}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.was_asked = True
        self._pool.stop()
        for each, before in self._before.items():
            signal.signal(each, before)


def _load(generator: str) -> Callable[[Any], Any]:
    """The function that MODULE:FUNCTION names."""
    module_name, _, function_name = generator.partition(":")
    if not module_name or not function_name:
        raise typer.BadParameter(f"{generator!r} is not MODULE:FUNCTION", param_hint="--generator")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise typer.BadParameter(f"there is no module {error.name} here", param_hint="--generator") from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise typer.BadParameter(f"{module_name} has no function {function_name}", param_hint="--generator")
    return function  # type: ignore[no-any-return]  # what it takes and gives shows when it is called
