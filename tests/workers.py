"""Other processes for the tests: `python -m tests.workers NAME DATABASE ...`, and the handle to talk to one.

A worker prints one line for each thing it reports and waits on its standard input where the test decides.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from sessionstore import GenerationSession
from sessionstore.operations.retention import clean_up_expired, prune_history
from tests.concurrency import manager_on, request, scene

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 40


class Worker:
    """A process of `module` under test; killed at the end of the block if it still runs."""

    module = "tests.workers"
    patience_seconds: float = PATIENCE_SECONDS

    def __init__(self, name: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", self.module, name, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._timer = threading.Timer(self.patience_seconds, self._process.kill)
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._timer.cancel()
        self._timer.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def line(self) -> str:
        """The next report; empty when there are no more."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def expect(self, report: str) -> None:
        line = self.line()
        assert line == report, f"the worker said {line!r}"

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def rest(self) -> list[str]:
        """All further reports; the worker has ended then, and ended well."""
        assert self._process.stdout is not None
        lines = [line.strip() for line in self._process.stdout]
        assert self._process.wait(PATIENCE_SECONDS) == 0, lines
        return lines

    def kill(self) -> None:
        """kill -9, as the kernel or an operator does it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)

    def reports_after_kill(self) -> list[str]:
        """What it had reported when it died; a line that was cut off does not count."""
        self.kill()
        assert self._process.stdout is not None
        return [line.strip() for line in self._process.stdout if line.endswith("\n")]


def say(report: object) -> None:
    """One write for the whole line, so that threads do not write into each other's."""
    os.write(sys.stdout.fileno(), f"{report}\n".encode())


def wait_for_go() -> None:
    if sys.stdin.readline() != "go\n":
        sys.exit("the test went away")


def meet(database: Path, name: str, count: str) -> None:
    """Opens together with others, writes its own sessions and a shared counter, then counts what all wrote."""

    def add_one(session: GenerationSession) -> None:
        session.metadata["count"] = session.metadata.get("count", 0) + 1

    say("ready")
    wait_for_go()
    with manager_on(database, lock_timeout=30) as manager:
        shared = manager.create_session(request(), session_id="shared")
        for number in range(int(count)):
            own = manager.create_session(request(), session_id=f"{name}-{number}")
            manager.add_scene_to_session(own, scene(1))
            manager.with_session_lock(shared, add_one)
        say("written")
        wait_for_go()
        session = manager.get_session(shared)
        assert session is not None
        say(f"{manager.get_session_count()} sessions, counter {session.metadata['count']}")


def churn(database: Path, name: str, rounds: str) -> None:
    """Opens, writes and closes again and again, while others do too."""
    say("ready")
    wait_for_go()
    for number in range(int(rounds)):
        with manager_on(database, lock_timeout=30) as manager:
            manager.create_session(request(), session_id=f"{name}-{number}")
    say("done")


def compete(database: Path, name: str, seconds: str) -> None:
    """Writes as fast as it can beside others, one write in ten under a lock; says how many it got."""
    with manager_on(database, lock_timeout=30) as manager:
        session_id = manager.create_session(request(), session_id=name)
        say("ready")
        wait_for_go()
        end, count = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            count += 1
            if count % 10:
                manager.add_scene_to_session(session_id, scene(count))
            else:
                manager.with_session_lock(
                    session_id, lambda session: session.metadata.update(count=len(session.scenes))
                )
        say(count)


def tidy(database: Path, events: str, sessions: str) -> None:
    """Sums up, buries what is finished and prunes, so many rows at a time, until told to stop.

    Nothing is kept for longer than a millisecond. Says once that it had some of each to do.
    """
    nothing_is_kept = dict.fromkeys(
        ("completed_retention_hours", "failed_retention_hours", "event_retention_days", "tombstone_retention_days"), 0
    )
    stop, done = threading.Event(), [0, 0, 0]

    def wait_for_the_end() -> None:
        wait_for_go()
        stop.set()

    with manager_on(
        database, lock_timeout=30, summary_interval=None, cleanup_batch_sessions=int(sessions), **nothing_is_kept
    ) as manager:
        store, has_said_so = manager._store, False
        say("ready")
        wait_for_go()
        threading.Thread(target=wait_for_the_end, daemon=True).start()
        while not stop.is_set():
            done[0] += store.engine.write(lambda unit: unit.totals.sum_up(int(events)))
            done[1] += clean_up_expired(store, should_stop=stop.is_set)
            done[2] += prune_history(store, should_stop=stop.is_set)
            if all(done) and not has_said_so:
                has_said_so = True
                say("some of each")


def in_child(check: Callable[[], object], seconds: float = 15) -> None:
    """Forks; the child runs `check` and reports its result or error, or that it never came back."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            say(f"child: {check()}")
        except BaseException as error:  # noqa: BLE001 - reported to the test
            traceback.print_exc()
            say(f"child: {type(error).__name__}")
        finally:
            os._exit(0)
    deadline = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            say("child: hangs")
            return
        time.sleep(0.01)


if __name__ == "__main__":
    _, command, path, *rest = sys.argv
    commands: dict[str, Callable[..., None]] = {
        "meet": meet,
        "churn": churn,
        "compete": compete,
        "tidy": tidy,
    }
    commands[command](Path(path), *rest)
