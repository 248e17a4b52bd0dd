"""A process that has imported everything and opened nothing, from which children are forked in milliseconds.

It carries the library of `shim.c`; each child may be put under a `Control` of its own. A child runs a function of a
module and reports over a socket, packet by packet; what it reported before it was killed is read all the same.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.injection.shim import Control, attach

ROOT = Path(__file__).parent.parent.parent.parent
PATIENCE_SECONDS = 60.0
MAX_REPORT_BYTES = 65536

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1

# Of what the keeper of a child says last.
ENDED = "ended "

Say = Callable[[str], None]


class Child:
    """A forked child; killed at the end of the block if it still runs."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._channel.settimeout(PATIENCE_SECONDS)
        self.pid = int(self._receive())
        self.status: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            self.kill()
            self.wait()
        self._channel.close()

    def reports(self) -> Iterator[str]:
        """What it says, until it has ended; `status` is there then, negative when a signal ended it."""
        while self.status is None:
            report = self._receive()
            if report.startswith(ENDED):
                self.status = int(report.removeprefix(ENDED))
                return
            yield report

    def wait(self) -> list[str]:
        """Its remaining reports, once it has ended."""
        return list(self.reports())

    def kill(self) -> None:
        """kill -9, as the kernel or an operator does it; nothing happens when it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _receive(self) -> str:
        return self._channel.recv(MAX_REPORT_BYTES).decode()


class Zygote:
    """The process that children are forked from; a context manager that ends it."""

    def __init__(self, library: Path, *modules: str) -> None:
        """`modules` are imported once, for all children."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.injection.zygote", str(theirs.fileno()), *modules],
                cwd=ROOT,
                env=os.environ | {"LD_PRELOAD": str(library)},
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        self._process.wait(PATIENCE_SECONDS)

    def start(self, function: Callable[..., None], *arguments: object, control: Control | None = None) -> Child:
        """Forks a child that calls `function(say, *arguments)`; arguments cross as JSON, paths as text."""
        order = {
            "module": function.__module__,
            "function": function.__name__,
            "arguments": [str(each) if isinstance(each, Path) else each for each in arguments],
            "control": str(control.path) if control else None,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._channel, [json.dumps(order).encode()], [theirs.fileno()])
        return Child(ours)


def _serve(orders: socket.socket, modules: list[str]) -> None:
    for module in ("alembic.command", "alembic.config", "sessionstore", "tests.concurrency", *modules):
        importlib.import_module(module)
    # Or each child's first collection would touch, and so copy, all that was imported.
    gc.freeze()
    # Nobody asks how the keepers of children ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, MAX_REPORT_BYTES, 1)
        if not order:
            return
        given = json.loads(order)
        importlib.import_module(given["module"])
        if os.fork() == 0:
            _end_with_parent()
            orders.close()
            _keep(given, socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def _end_with_parent() -> None:
    """Right after a fork: kill -9 once the parent is gone, so that no child outlives a test that was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _keep(order: dict[str, Any], channel: socket.socket) -> None:
    """Forks the child proper, waits for its end, and tells it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _end_with_parent()
        _run(order, channel)
    _, status = os.waitpid(pid, 0)
    channel.send(f"{ENDED}{os.waitstatus_to_exitcode(status)}".encode())
    os._exit(0)


def _run(order: dict[str, Any], channel: socket.socket) -> None:
    def say(report: str) -> None:
        channel.send(report.encode())

    status = 1
    try:
        say(str(os.getpid()))
        function = getattr(sys.modules[order["module"]], order["function"])
        if order["control"]:
            attach(Path(order["control"]))
        function(say, *order["arguments"])
        status = 0
    except BaseException:  # noqa: BLE001 - printed, and told by the status
        traceback.print_exc()
    finally:
        # Without what a parent's interpreter does at its end: that is the zygote's.
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
