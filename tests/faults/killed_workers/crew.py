"""Workers in processes of their own, started anew whenever one dies; and what they have reported."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.killed_workers.service import Service
from tests.workers import PATIENCE_SECONDS, ROOT


class FaultyWorker:
    """One process of `tests.faults.killed_workers.workers`. A thread reads its reports, so no full pipe stops it."""

    def __init__(self, name: str, database: Path, service: Service, options: dict[str, Any]) -> None:
        self.name = name
        self.reports: list[list[str]] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        arguments = [name, str(database), str(service.port), json.dumps(options)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.killed_workers.workers", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def has_claimed(self) -> bool:
        return any(verb == "claimed" for verb, *_ in list(self.reports))

    def stop(self) -> None:
        """Asks it to go after what it is doing."""
        assert self._process.stdin is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """kill -9, as the kernel or an operator does it."""
        self._process.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, negative when a signal ended it."""
        return self._process.wait(PATIENCE_SECONDS)

    def end(self) -> int:
        """Waits for its end, and gives its exit status; all that it reported is there then."""
        status = self.wait()
        self._reader.join(PATIENCE_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        if status not in {0, -signal.SIGKILL}:
            self._log.seek(0)
            sys.stderr.write(self._log.read().decode()[-5000:])
        self._log.close()
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.reports.append(line.split())


class Crew:
    """So many workers over one database; a context manager that leaves none behind."""

    def __init__(self, database: Path, service: Service, size: int, **options: Any) -> None:
        self._deaths = Path(f"{database}-deaths")
        self._deaths.mkdir()
        self._options = {"deaths": str(self._deaths), "longest_pause_seconds": 0, "max_attempts": 1_000_000} | options
        self._database = database
        self._service = service
        self._hired = 0
        self.reports: list[list[str]] = []
        self.deaths = 0
        self.workers = [self._hire() for _ in range(size)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.end()

    def replace_dead(self) -> None:
        """Starts a new worker for each that was killed. One that ended otherwise ends the test."""
        for place, worker in enumerate(self.workers):
            if worker.has_ended():
                self.workers[place] = self._hire()
                self.deaths += 1
                status = worker.end()
                self.reports += worker.reports
                assert status == -signal.SIGKILL, f"{worker.name} was not killed, and ended with {status}"

    def kill(self, victims: Sequence[FaultyWorker]) -> None:
        """Kills them at one moment, and starts others in their place."""
        for worker in victims:
            worker.kill()
        for worker in victims:
            worker.wait()
        self.replace_dead()

    def dismiss(self) -> None:
        """Has all of them stop, which they do well."""
        leaving, self.workers = self.workers, []
        for worker in leaving:
            worker.stop()
        ends = [(worker.name, worker.end()) for worker in leaving]
        self.reports += [report for worker in leaving for report in worker.reports]
        assert all(status == 0 for _, status in ends), ends

    def acknowledged(self) -> set[tuple[str, int]]:
        """The scenes that workers were told are saved; complete after `dismiss`."""
        return {(rest[0], int(rest[1])) for verb, *rest in self.reports if verb == "saved"}

    def held(self) -> set[str]:
        """The sessions whose workers were told that a call is held; complete after `dismiss`."""
        return {rest[0] for verb, *rest in self.reports if verb == "held"}

    def deaths_in(self, session_id: str) -> int:
        """How many workers died at the point that the session's metadata names."""
        return len(list(self._deaths.glob(f"{session_id}-*")))

    def _hire(self) -> FaultyWorker:
        self._hired += 1
        return FaultyWorker(f"worker-{self._hired}", self._database, self._service, self._options)
