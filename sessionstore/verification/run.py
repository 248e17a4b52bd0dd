"""A whole verification: the scenarios in turn, within one budget of time and size, cleaned up whatever happens."""

import os
import platform
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType
from typing import Protocol

from sessionstore.clock import utc_now
from sessionstore.errors import SessionManagerError
from sessionstore.manager import SessionManager
from sessionstore.models import Finding
from sessionstore.settings import Settings
from sessionstore.verification.children import Children, SilentChildError
from sessionstore.verification.file_system import file_system
from sessionstore.verification.ground import Ground
from sessionstore.verification.reports import described
from sessionstore.verification.scenarios import SCENARIOS, TryIt
from sessionstore.verification.scratch import Scratch, place_for, scratch_in
from sessionstore.verification.verdicts import (
    MEGABYTE,
    CannotBeginError,
    NotTriedError,
    Result,
    ScenarioName,
    Trial,
    Verdict,
    Verification,
)

# By so much a run may exceed its time: the last look at what is there, and the end of all children.
OVERTIME_SECONDS = 5.0
# Between two interruptions of one that does not end, the first of which may have been swallowed.
INSIST_SECONDS = 1.0


class Watcher(Protocol):
    """Who is told how a run goes, while it goes."""

    def begins(self, name: ScenarioName) -> None: ...

    def says(self, name: ScenarioName, text: str) -> None: ...

    def ends(self, result: Result) -> None: ...

    def remark(self, text: str) -> None:
        """Something beside the scenarios."""


class OutOfTimeError(BaseException):
    """A scenario was cut off. No `Exception`: nothing that a scenario calls may take it for an error of its own."""


def verify(
    database_url: str,
    *,
    scenarios: Sequence[ScenarioName],
    seconds: float,
    max_bytes: int,
    durability: str,
    lock_timeout: float,
    watcher: Watcher,
) -> Verification:
    """Tries the scenarios beside the database, which is not touched. To be called in the main thread.

    Raises:
        CannotBeginError: when there is no such folder, or no room.
    """
    begun_at, begin = utc_now(), time.monotonic()
    place = place_for(database_url)
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < 2 * max_bytes:
        raise CannotBeginError(f"only {free_bytes // MEGABYTE} MB are free in {place}: give a smaller --max-megabytes")
    settings = _settings(durability, lock_timeout)
    with ended_by_signals(), scratch_in(place, watcher.remark) as scratch, Children() as children:
        findings = _doctor(scratch, settings)
        budget = _Budget(scratch, children, settings, begin + seconds, max_bytes, watcher)
        results = budget.spend([name for name in ScenarioName if name in scenarios])
    return Verification(
        database_url=database_url,
        folder=str(place),
        file_system=file_system(place),
        machine=f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        version=version("sessionstore"),
        durability=durability,
        max_bytes=max_bytes,
        budget_seconds=seconds,
        begun_at=begun_at,
        seconds=round(time.monotonic() - begin, 1),
        findings=findings,
        results=results,
    )


@dataclass
class _Budget:
    """What the scenarios share. `end` is in monotonic seconds."""

    scratch: Scratch
    children: Children
    settings: Settings
    end: float
    max_bytes: int
    watcher: Watcher

    def spend(self, names: Sequence[ScenarioName]) -> list[Result]:
        """Tries each in turn, the first in any case. The others share what one leaves, or takes too much."""
        results: list[Result] = []
        for number, name in enumerate(names):
            shares = [SCENARIOS[each].share for each in names[number:]]
            seconds = max(0.0, self.end - time.monotonic()) * shares[0] / sum(shares)
            self.watcher.begins(name)
            results.append(self._try(name, _no_time if results and not seconds else SCENARIOS[name].try_it, seconds))
            self.watcher.ends(results[-1])
        return results

    def _try(self, name: ScenarioName, try_it: TryIt, seconds: float) -> Result:
        begin = time.monotonic()
        trial, verdict = Trial(), Verdict.HELD
        ground = Ground(
            scratch=self.scratch,
            children=self.children,
            settings=self.settings,
            begin=begin,
            end=begin + seconds,
            max_bytes=self.max_bytes,
            say=lambda text: self.watcher.says(name, text),
        )
        try:
            with _cut_off_at(ground.end + OVERTIME_SECONDS):
                try_it(ground, trial)
        except (NotTriedError, OSError) as reason:
            verdict = Verdict.NOT_TRIED
            trial.reasons.append(str(reason))
        except (SessionManagerError, SilentChildError) as error:
            trial.fail(described(error))
        except Exception as error:  # noqa: BLE001 - untyped, it is what the promise excludes; the others are tried yet
            trial.fail(f"unexpected: {described(error)}")
        except OutOfTimeError:
            trial.fail(
                f"it had not come to an end {OVERTIME_SECONDS:g} s after its time was over: something waits for "
                "ever, or this machine is too busy; try it again with more --seconds"
            )
        finally:
            self.children.kill_all()
            ground.measure()
            self.scratch.clear()
        trial.figures["largest_bytes"] = ground.largest_bytes
        return Result(
            scenario=name,
            promise=SCENARIOS[name].promise,
            verdict=Verdict.DID_NOT_HOLD if trial.failures else verdict,
            extent=trial.extent,
            seconds=round(time.monotonic() - begin, 1),
            reasons=trial.reasons,
            notes=trial.notes,
            figures={
                name: round(value, 3) if isinstance(value, float) else value for name, value in trial.figures.items()
            },
        )


def _no_time(ground: Ground, trial: Trial) -> None:
    raise NotTriedError("no time was left for it; give more --seconds")


def _settings(durability: str, lock_timeout: float) -> Settings:
    """Those of the scratch databases: the defaults, whatever the environment says, and no schedules."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    chosen = {"durability": durability, "lock_timeout": lock_timeout, "max_sessions": None}
    return Settings(**defaults | chosen | {"cleanup_interval": None, "recovery_interval": None})


def _doctor(scratch: Scratch, settings: Settings) -> list[Finding]:
    """What `check` says of a new database there."""
    url = scratch.url("doctor")
    try:
        with SessionManager(settings=Settings(**settings.model_dump() | {"database_url": url})) as manager:
            return manager.check()
    except SessionManagerError as error:
        return [Finding.unreadable("open", error)]
    finally:
        scratch.clear()


@contextmanager
def _cut_off_at(moment: float) -> Iterator[None]:
    """Raises OutOfTimeError in the block when it has not ended by then (monotonic seconds), and insists."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    handler = signal.signal(signal.SIGALRM, interrupt)
    timer = signal.setitimer(signal.ITIMER_REAL, max(0.01, moment - time.monotonic()), INSIST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Has SIGTERM and a closed terminal end the block in order, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
