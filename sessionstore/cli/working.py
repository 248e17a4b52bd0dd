"""`worker`: claims pending sessions and has a generator of yours make their scenes."""

import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from sessionstore.cli.opening import Database, open_manager
from sessionstore.cli.output import readable, say
from sessionstore.cli.own_code import RequestModel, SceneModel, load, load_models

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
    request_model: RequestModel = None,
    scene_model: SceneModel = None,
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
    function = load(generator, "--generator")
    models = load_models(request_model, scene_model)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with open_manager(database, is_worker=True, **models) as manager:
        # With it comes SQLAlchemy, which `--help` should not have to wait for.
        from sessionstore.worker import WorkerPool  # noqa: PLC0415

        stop = _Stop()
        pool = WorkerPool(
            manager,
            function,
            name=name or f"{socket.gethostname()}-{os.getpid()}",
            threads=threads,
            lease_seconds=lease_seconds,
            poll_seconds=poll_seconds,
            report=lambda line: _print_line(line, stop),
        )
        stop.pool = pool
        pool.run(until_idle=until_idle)
        if stop.was_asked:
            say("sessionstore: stopping; sessions that are not finished are given back")
            if not pool.wait(grace_seconds):
                say(f"sessionstore: a generator did not come to a stop in {grace_seconds:g} s; it is left behind")
    if stop.is_unheard:
        raise typer.Exit(1)


class _Stop:
    """The first SIGTERM or Ctrl-C stops the pool in order; the second ends the process as it would otherwise.

    So does a closed pipe: nobody hears any more what the worker does.
    """

    def __init__(self) -> None:
        self.was_asked = False
        self.is_unheard = False
        self.pool: WorkerPool | None = None
        self._before = {each: signal.signal(each, self._handle) for each in (signal.SIGTERM, signal.SIGINT)}

    def stop(self) -> None:
        self.was_asked = True
        if self.pool is not None:
            self.pool.stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.stop()
        for each, before in self._before.items():
            signal.signal(each, before)


def _print_line(line: str, stop: _Stop) -> None:
    try:
        # In one piece, so that workers do not write into each other's.
        print(f"{readable(line)}\n", end="", flush=True)
    except BrokenPipeError:
        # Python would complain once more about what could not be flushed, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        stop.is_unheard = True
        stop.stop()
