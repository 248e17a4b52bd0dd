"""A backend whose clock is set again and again: `python -m tests.faults.clocks.processes obey DATABASE DEFENCE`."""

import shutil
import struct
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sessionstore import LeaseLostError, SessionManager
from sessionstore.operations import retention
from sessionstore.testing import wait_for_cleanup
from tests.concurrency import PATIENCE_SECONDS, manager_on, request, scene
from tests.workers import Worker, say

SOURCE = Path(__file__).with_name("clock.c")
CLOCK_VARIABLE = "SESSIONSTORE_TEST_CLOCK"
LEASE_SECONDS = 1


def build_clock(folder: Path) -> Path:
    """The library that moves a process's clock, compiled; skips the test where that is impossible."""
    if sys.platform != "linux":
        pytest.skip("a process gets a clock of its own with LD_PRELOAD, as glibc on Linux has it")
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        pytest.skip("moving the clock needs a C compiler; install gcc or clang (Debian: apt install gcc libc6-dev)")
    library = folder / "clock.so"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    built = subprocess.run(
        [compiler, *options, "-o", library, SOURCE, "-ldl"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return library


class SystemClock:
    """The wall clock of processes that are started with its `environment`; the test sets it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._offset = folder / "clock"
        self._offset.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(library), CLOCK_VARIABLE: str(self._offset)}

    def set(self, moment: datetime) -> None:
        with open(self._offset, "r+b", buffering=0) as file:
            file.write(struct.pack("q", round(moment.timestamp() - time.time())))

    def put_right(self) -> None:
        self.set(datetime.now(UTC))


class ClockedWorker(Worker):
    """A process of this module, with a clock that can be set."""

    module = "tests.faults.clocks.processes"
    patience_seconds = 1800

    def __init__(self, name: str, clock: SystemClock, *arguments: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in clock.environment.items():
                patch.setenv(variable, value)
            super().__init__(name, *arguments)

    def ask(self, question: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self.line()


def obey(database: Path, defence: str) -> None:
    """Does what it is told on its standard input, and says how that went."""
    if defence == "undefended":
        vars(retention)["_believable"] = lambda unit, store, rules: rules
    with manager_on(database, durability="normal", recovery_interval=0.1, touch_interval=0.1) as manager:
        say("ready")
        held = None
        for line in sys.stdin:
            match line.split():
                case ["clean"]:
                    say(wait_for_cleanup(manager, PATIENCE_SECONDS))
                case ["hold", session_id]:
                    held = manager.track(session_id, "keeper", lease_seconds=LEASE_SECONDS)
                    say("held")
                case ["abandon", session_id]:
                    manager.track(session_id, "dead", lease_seconds=LEASE_SECONDS)
                    say("abandoned")
                case ["complete"]:
                    assert held is not None
                    held.add_scene(scene(1))
                    held.complete()
                    say("completed")
                case ["generate"]:
                    say(generate_all(manager))
                case ["create", session_id]:
                    say(manager.create_session(request(), session_id=session_id))
                case ["year"]:
                    say(f"{datetime.now(UTC):%Y}")


def generate_all(manager: SessionManager) -> int:
    """Claims and generates until nothing is pending; how many were finished here."""
    finished = 0
    while run := manager.claim_next_session("generator", lease_seconds=LEASE_SECONDS):
        with suppress(LeaseLostError):
            for number in run.pending_scene_numbers():
                run.add_scene(scene(number))
            run.complete()
            finished += 1
    return finished


if __name__ == "__main__":
    _, _, path, chosen_defence = sys.argv
    obey(Path(path), chosen_defence)
