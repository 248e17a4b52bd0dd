"""Other processes, as the one that counts has them: started, told, listened to, and ended in any case."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sessionstore.verification.verdicts import NotTriedError

LAUNCHER = "sessionstore.verification.launcher"
# What a child gets to do what it always can at once: long, for a machine may be busy with other things, and a scenario
# is cut off when its time is over.
PATIENCE_SECONDS = 30.0
# What the kernel gets to end a process.
END_SECONDS = 2.0

Listener = Callable[..., None]


class SilentChildError(Exception):
    """A child ended, or did not do in time what the scenario waits for."""


class Child:
    """One process, which the launcher forked."""

    def __init__(self, children: "Children", name: str, listener: Listener | None) -> None:
        self.name = name
        self.pid: int | None = None
        self.has_ended = False
        self._children = children
        self._listener = listener
        self._reports: list[list[Any]] = []

    def heard(self, kind: str, facts: list[Any]) -> bool:
        """Takes a report; whether it is one that somebody may wait for."""
        if kind == "started":
            (self.pid,) = facts
        elif kind == "ended":
            self.has_ended = True
        elif self._listener is not None:
            self._listener(kind, *facts)
            return False
        self._reports.append([kind, *facts])
        return True

    def all(self, kind: str) -> list[list[Any]]:
        """The facts of every report of that kind so far."""
        return [facts for each, *facts in list(self._reports) if each == kind]

    def wait_for(self, kind: str, number: int = 1, seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """The facts of its report of that kind, the `number`th one.

        Raises:
            SilentChildError: when it ended before, or was not heard in time.
        """

        def is_over() -> bool:
            return len(self.all(kind)) >= number or self.has_ended

        self._children.wait_until(is_over, seconds)
        reports = self.all(kind)
        if len(reports) >= number:
            return reports[number - 1]
        self._children.require_launcher()
        errors = [str(error) for (error,) in self.all("failed")]
        what = "ended" if self.has_ended else f"was not heard of within {seconds:g} s"
        raise SilentChildError(": ".join([f"process {self.name} {what}, before it said {kind!r}", *errors]))

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal, unless it has ended."""
        self._children.tell("signal", self.name, number)

    def kill(self) -> None:
        """SIGKILL. Returns when it has ended, and all it acknowledged was noted."""
        self.send(signal.SIGKILL)
        self.wait_for("ended")


class Children:
    """The launcher and all its children. At the end of the block none of them lives."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._is_gone = False
        self._children: dict[str, Child] = {}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        # It imports what was imported here, and with -P nothing from the folder that this is run in. In a group of its
        # own, so that a terminal's Ctrl-C reaches this process only.
        self._launcher = subprocess.Popen(
            [sys.executable, "-P", "-m", LAUNCHER],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, name="sessionstore-verify-reader", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        try:
            self._launcher.stdin.close()
            self._launcher.wait(END_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            for child in self._living():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
            self._launcher.kill()
            self._launcher.wait()
        self._reader.join(END_SECONDS)
        self._launcher.stdout.close()
        self._errors.close()

    def start(self, part: str, *, listener: Listener | None = None, **options: Any) -> Child:
        """Forks a child that plays a part. With a `listener` its own reports go there, on another thread."""
        name = f"{part}{len(self._children) + 1}"
        child = self._children[name] = Child(self, name, listener)
        self.tell("start", name, part, options)
        return child

    def tell(self, *command: Any) -> None:
        """Gives the launcher an order. Raises as `require_launcher` does."""
        assert self._launcher.stdin is not None
        try:
            self._launcher.stdin.write(f"{json.dumps(command)}\n".encode())
            self._launcher.stdin.flush()
        except BrokenPipeError:
            self._is_gone = True
            self.require_launcher()

    def require_launcher(self) -> None:
        """To be asked when a child is not heard of.

        Raises:
            NotTriedError: when there is no launcher, with the last line that it left.
        """
        if self._is_gone:
            lines = os.pread(self._errors.fileno(), 100_000, 0).decode(errors="replace").splitlines()
            raise NotTriedError(
                f"no processes can be started here: {lines[-1] if lines else 'no reason given'}"
            ) from None

    def kill_all(self) -> None:
        """Ends those that live, such as are left over from a scenario that was cut off."""
        with suppress(NotTriedError):  # The launcher is gone, and with it all of them.
            for child in self._living():
                child.send(signal.SIGKILL)
            self.wait_until(lambda: not self._living(), END_SECONDS)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it came to hold in time; looked at with every report that no listener took."""
        with self._news:
            return self._news.wait_for(condition, seconds)

    def _living(self) -> list[Child]:
        return [child for child in self._children.values() if not child.has_ended]

    def _read(self) -> None:
        assert self._launcher.stdout is not None
        for line in self._launcher.stdout:
            name, kind, *facts = json.loads(line)
            if self._children[name].heard(kind, facts):
                with self._news:
                    self._news.notify_all()
        with self._news:
            self._is_gone = True
            for child in self._children.values():
                child.has_ended = True
            self._news.notify_all()
