"""Worker processes: `python -m tests.tracking.workers NAME DATABASE OPTIONS`, and the handle that a test has on one.

OPTIONS is JSON. One that `obey`s does what the lines on its standard input say, and reports a line for each; its log
goes to its standard error, which the test can read.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sessionstore import GenerationRun, SessionManager
from sessionstore.clock import utc_now
from tests.concurrency import manager_on, scene, wait_until
from tests.tracking.foreign import is_locked
from tests.tracking.stopping import survive_ctrl_c, work_until_stopped
from tests.workers import PATIENCE_SECONDS, ROOT, Worker, say, wait_for_go


class SharedClock:
    """The system's clock, moved for everybody who looks at the same file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        if not file.exists():
            self.move(hours=0)

    def __call__(self) -> datetime:
        return utc_now() + timedelta(hours=float(self._file.read_text(encoding="ascii")))

    def move(self, *, hours: float) -> None:
        """Has it show so many hours more than the system's."""
        new = self._file.with_suffix(".new")
        new.write_text(str(hours), encoding="ascii")
        new.replace(self._file)


class TrackingWorker(Worker):
    """A process of this module: can be paused, and read the log of."""

    def __init__(self, name: str, database: Path, **options: object) -> None:
        self._database = database
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.tracking.workers", name, str(database), json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._timer = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        self._timer.start()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._log.close()

    def ask(self, command: str) -> str:
        """Has it do that; what it reports."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self.line()

    def log(self) -> str:
        """What it has written to its standard error so far."""
        return os.pread(self._log.fileno(), 1_000_000, 0).decode()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP, but not in the middle of a write, which would hold up everybody."""
        while True:
            self.send(signal.SIGSTOP)
            wait_until(lambda: self.state() == "T", "the process to stop")
            if not is_locked(self._database):
                return
            self.resume()
            time.sleep(0.01)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def state(self) -> str:
        """A letter, as Linux shows it: T is stopped, Z is dead but not asked for."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        return stat.rpartition(")")[2].split()[0]

    def wait(self) -> int:
        """Its exit status, negative when a signal ended it."""
        return self._process.wait(PATIENCE_SECONDS)


def open_from(database: Path, clock: str | None = None, **options: Any) -> SessionManager:
    return manager_on(database, clock=None if clock is None else SharedClock(Path(clock)), **options)


def obey(database: Path, *, worker: str, lease_seconds: float, **options: Any) -> None:
    """Claims and works as it is told. An error is reported as its kind and its message."""
    manager = open_from(database, **options)
    run: GenerationRun[Any, Any] | None = None
    say("ready")
    for line in sys.stdin:
        verb, _, argument = line.strip().partition(" ")
        try:
            if verb == "claim":
                run = manager.claim_next_session(worker, lease_seconds=lease_seconds)
                say("nothing" if run is None else f"{run.session_id} attempt {run.attempt}")
            else:
                assert run is not None
                say(_write(run, verb, argument))
        except Exception as error:  # noqa: BLE001 - for the test to look at
            say(f"{type(error).__name__}: {error}")
    manager.shutdown()


def _write(run: GenerationRun[Any, Any], verb: str, argument: str) -> str:
    writes: dict[str, Callable[[], None]] = {
        "scene": lambda: run.add_scene(scene(int(argument))),
        "progress": lambda: run.update_progress(1, 2, "half"),
        "downloading": lambda: run.update_status("downloading"),
        "heartbeat": run.heartbeat,
        "look": run.raise_if_cancelled,
        "complete": run.complete,
        "fail": lambda: run.fail("it would not"),
        "release": run.release,
    }
    writes[verb]()
    return "done"


WRITES = ("scene 2", "progress", "downloading", "heartbeat", "look", "complete", "fail", "release")
"""All that `obey` can be told to write; none of it may succeed for a run that has lost its session."""


def compete(database: Path, *, worker: str, threads: int) -> None:
    """Threads that claim and complete until nothing is left, beside those of other processes; reports what each got."""
    with manager_on(database, lock_timeout=30) as manager:
        say("ready")
        wait_for_go()
        claimed: list[str] = []

        def work() -> None:
            # All threads of all processes under one name: that must not make them share.
            while (run := manager.claim_next_session(worker)) is not None:
                claimed.append(run.session_id)
                run.complete()

        pool = [threading.Thread(target=work) for _ in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        say(json.dumps(claimed))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    # Who is started in the background of a shell inherits that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, command, path, given = sys.argv
    commands: dict[str, Callable[..., None]] = {
        "obey": obey,
        "compete": compete,
        "stop": work_until_stopped,
        "survive": survive_ctrl_c,
    }
    commands[command](Path(path), **json.loads(given))
