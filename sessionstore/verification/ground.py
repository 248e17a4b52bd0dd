"""What a scenario is given: a place, a time, a size, settings, children, and somebody to tell how it goes."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sessionstore.errors import SessionManagerError
from sessionstore.manager import SessionManager
from sessionstore.models import Finding
from sessionstore.settings import Settings
from sessionstore.verification.acknowledgements import Acknowledgements, Comparison
from sessionstore.verification.children import PATIENCE_SECONDS, Child, Children, SilentChildError
from sessionstore.verification.scratch import Scratch
from sessionstore.verification.verdicts import Trial

# A checkpoint copies what is in the log into the database, so that for a while it is there twice.
WRITTEN_SHARE = 0.5
# The rest of the time is for looking whether everything is there.
WRITING_SHARE = 0.7
LOOK_SECONDS = 0.02
PROCESSES_PER_CORE = 2
MAX_PROCESSES = 8


@dataclass
class Ground:
    """The means of one scenario. `begin` and `end` are in monotonic seconds."""

    scratch: Scratch
    children: Children
    settings: Settings
    begin: float
    end: float
    max_bytes: int
    say: Callable[[str], None]
    largest_bytes: int = 0

    @property
    def writing_end(self) -> float:
        """When writing is to stop."""
        return self.begin + WRITING_SHARE * (self.end - self.begin)

    @property
    def processes(self) -> int:
        """How many processes write at a time, at most."""
        return min(MAX_PROCESSES, max(2, PROCESSES_PER_CORE * (os.cpu_count() or 1)))

    def measure(self) -> int:
        """The bytes in the scratch folder now; the most there ever were are remembered."""
        found = self.scratch.bytes()
        self.largest_bytes = max(self.largest_bytes, found)
        return found

    def is_full(self) -> bool:
        """Whether as much is written as may be."""
        return self.measure() > WRITTEN_SHARE * self.max_bytes

    def wait(self, moment: float) -> bool:
        """Waits until then; False when the scratch folder was full before."""
        while (left := moment - time.monotonic()) > 0:
            if self.is_full():
                return False
            time.sleep(min(left, LOOK_SECONDS))
        return True

    def wait_for_writes(self, acknowledged: Acknowledgements, writers: Sequence[Child]) -> None:
        """Returns once one more write is acknowledged.

        Raises:
            SilentChildError: when none is, in time.
        """
        before, end = len(acknowledged), time.monotonic() + PATIENCE_SECONDS
        while len(acknowledged) == before:
            if time.monotonic() > end or all(writer.has_ended for writer in writers):
                self.children.require_launcher()
                why = acknowledged.errors[-1] if acknowledged.errors else f"none in {PATIENCE_SECONDS:g} s"
                raise SilentChildError(f"no write was acknowledged: {why}")
            time.sleep(LOOK_SECONDS)

    def options(self, name: str, **changed: Any) -> dict[str, Any]:
        """The settings of a child that opens the database of that name."""
        return self.settings.model_dump() | changed | {"database_url": self.scratch.url(name)}

    @contextmanager
    def opened(self, name: str, **changed: Any) -> Iterator[SessionManager]:
        """A manager of this process on the database of that name."""
        with SessionManager(settings=Settings(**self.options(name, **changed))) as manager:
            yield manager

    def start_writer(self, name: str, acknowledged: Acknowledgements, threads: int) -> Child:
        """A process whose threads write stories into the database of that name."""
        options = {"settings": self.options(name), "threads": threads}
        writer = self.children.start("write", listener=acknowledged.note, **options)
        acknowledged.expect(writer.name, threads)
        return writer


def judge(trial: Trial, manager: SessionManager, compared: Comparison) -> None:
    """Fails the trial for each difference, and for what the doctor finds wrong; adds to the figures."""
    for name in ("lost_writes", "torn_sessions", "foreign_sessions"):
        trial.figures[name] = int(trial.figures.get(name, 0)) + getattr(compared, name)
    trial.fail(*compared.sentences)
    trial.fail(*(f"check: {finding.check}: {finding.message}" for finding in errors_in(manager)))


def errors_in(manager: SessionManager) -> list[Finding]:
    """What the doctor says is wrong; a warning may be about the machine."""
    try:
        return [finding for finding in manager.check() if finding.severity == "error"]
    except SessionManagerError as error:
        return [Finding.unreadable("check", error)]
