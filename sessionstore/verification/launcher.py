"""`python -m sessionstore.verification.launcher`: the process that all children are forked from.

It has everything imported and nothing open, so that a child begins within milliseconds instead of a second. It is told
on its standard input what to start and whom to send a signal; that children started, stopped and ended stands in the
same pipe as what they report themselves. So whoever reads that a child has ended has read all that it acknowledged.
When its standard input ends, whatever the reason, it kills all of them, also those that are paused.
"""

import json
import os
import select
import signal
from collections.abc import Iterator
from typing import Any

from sessionstore.verification.parts import PARTS
from sessionstore.verification.reports import Reporter, described, write_report

STANDARD_INPUT = 0
# Between two looks for children that ended, which only matters to how long a kill is waited for.
LOOK_SECONDS = 0.005
READ_BYTES = 65536


class Launcher:
    """The children that live, by name. Only here are signals sent: a number that was not waited for is no other's."""

    def __init__(self) -> None:
        self._living: dict[str, int] = {}

    def run(self) -> None:
        """Does as it is told until nobody is there to tell it."""
        try:
            for command, name, *facts in self._commands():
                if command == "start":
                    self._start(name, *facts)
                elif name in self._living:
                    os.kill(self._living[name], *facts)
        finally:
            for pid in self._living.values():
                os.kill(pid, signal.SIGKILL)
            while self._living:
                self._look(0)

    def _commands(self) -> Iterator[list[Any]]:
        unread = b""
        while True:
            ready, _, _ = select.select([STANDARD_INPUT], [], [], LOOK_SECONDS if self._living else None)
            if ready:
                given = os.read(STANDARD_INPUT, READ_BYTES)
                if not given:
                    return
                *lines, unread = (unread + given).split(b"\n")
                yield from map(json.loads, lines)
            self._look(os.WNOHANG)

    def _start(self, name: str, part: str, options: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            self._be(Reporter(name), part, options)
        self._living[name] = pid
        write_report(name, "started", pid)

    @staticmethod
    def _be(report: Reporter, part: str, options: dict[str, Any]) -> None:
        """The child's whole life."""
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), STANDARD_INPUT)
            PARTS[part](report, **options)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process that counts must hear of it
            report("failed", described(error))
        finally:
            os._exit(0)

    def _look(self, how: int) -> None:
        """Reports the children that stopped or ended since."""
        while self._living:
            pid, status = os.waitpid(-1, how | os.WUNTRACED)
            if pid == 0:
                return
            name = next(name for name, each in self._living.items() if each == pid)
            if os.WIFSTOPPED(status):
                write_report(name, "stopped")
            else:
                del self._living[name]
                write_report(name, "ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    # Ctrl-C goes to the one that started this, who ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Launcher().run()
