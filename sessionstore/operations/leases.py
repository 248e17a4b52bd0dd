"""Leases: the proof that each write of a run carries, and the one thread that renews them."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from weakref import WeakSet

from sessionstore.clock import Clock
from sessionstore.errors import LeaseLostError, SessionCancelledError
from sessionstore.maintenance import Job, MaintenanceLoop
from sessionstore.models import GenerationStatus, RunOutcome
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.persistence.engines.base import Engine
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Two renewals may fail, or come late, before the lease runs out.
RENEWALS_A_LEASE = 3
# How often it is looked whether a renewal is due: soon enough that one is made before anybody acts on a lease that
# only a jump of the clock, or a pause of the machine, has made look expired.
TICK_SECONDS = 0.25


def write_fenced(engine: Engine, lease: Lease, work: Callable[[UnitOfWork], T]) -> T:
    """Runs `work` in a transaction that ends here when the lease is held no more.

    Raises:
        LeaseLostError: saying who has the session now, or what became of it.
    """

    def fenced(unit: UnitOfWork) -> T:
        require_held(unit, lease)
        return work(unit)

    return engine.write(fenced)


def require_held(unit: UnitOfWork, lease: Lease) -> None:
    """To be asked in the transaction that writes: nobody can take the session over before it ends."""
    if not unit.runs.is_held(lease):
        raise lost(unit, lease)


def lost(unit: UnitOfWork, lease: Lease) -> LeaseLostError:
    """What to tell a run that holds its session no more."""
    session_id, own, latest = lease.session_id, unit.runs.find(lease), unit.runs.latest(lease.session_id)
    is_taken_over = latest is not None and latest.lease.run_id != lease.run_id
    facts = {"session_id": session_id, "holder": latest.lease.worker if latest is not None and is_taken_over else None}
    if own is not None and own.outcome is RunOutcome.CANCELLED:
        return SessionCancelledError(
            f"session {session_id!r} was cancelled; stop this run, its writes are refused", **facts
        )
    if unit.sessions.state(session_id) is None:
        what = "is gone"
    elif latest is not None and is_taken_over:
        since = "" if latest.outcome is None else f", {latest.outcome} since"
        what = (
            f"is now attempt {latest.lease.attempt} of worker {latest.lease.worker!r}{since} "
            f"(yours was attempt {lease.attempt})"
        )
    elif own is None:
        what = f"knows nothing of attempt {lease.attempt}: it was made again since, or the claim was rolled back"
    elif own.outcome is RunOutcome.CRASHED:
        what = f"was taken back from attempt {lease.attempt}, whose lease ran out unrenewed"
    else:
        what = f"is no more yours: attempt {lease.attempt} has ended, {own.outcome}"
    return LeaseLostError(f"session {session_id!r} {what}; stop this run, its writes are refused", **facts)


def give_back(unit: UnitOfWork, lease: Lease) -> None:
    """Makes the session pending again, when the lease is still held."""
    current = unit.sessions.state(lease.session_id)
    if current is not None and unit.runs.is_held(lease):
        apply_changes(unit, lease.session_id, current, Changes(status=GenerationStatus.PENDING))


class Renewable(Protocol):
    """What the thread needs of a run. It is held weakly: one that is dropped unfinished is renewed no more."""

    @property
    def lease(self) -> Lease: ...

    @property
    def has_ended(self) -> bool: ...


class Heartbeats:
    """Renews the leases of all runs of one store, on one thread, which starts with the first run.

    A database that is busy or away is tried again until it is back; a lease that is lost is logged, and its run
    finds out by itself. Nothing here stops a worker.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: WeakSet[Renewable] = WeakSet()
        self._to_release: dict[Lease, None] = {}
        self._due_at = 0.0
        # By the store's clock: when the next renewal was planned, and for when.
        self._planned: tuple[datetime, datetime] | None = None
        self._loop: MaintenanceLoop | None = None

    def add(self, run: Renewable) -> None:
        """Keeps the lease of `run` alive from now on."""
        with self._lock:
            self._runs.add(run)
            self._plan(run.lease.lease_ms, only_earlier=True)
            if self._loop is None:
                # Also while the store is closing: it waits for calls that need their leases until they have finished.
                job = Job("renewing leases", lambda _: self._engine.gate.run_while_shut(self.renew_due), TICK_SECONDS)
                self._loop = MaintenanceLoop(job, name="sessionstore-heartbeats")
                self._loop.start()

    def drop(self, run: Renewable) -> None:
        """The run has ended."""
        with self._lock:
            self._runs.discard(run)

    def release_later(self, lease: Lease) -> None:
        """Gives a session back as soon as the database, which was away when its run ended, lets itself be written."""
        with self._lock:
            self._to_release[lease] = None

    def leases(self) -> list[Lease]:
        """All that are to be given back when the store is closed."""
        with self._lock:
            return [*self._to_release, *(run.lease for run in self._runs)]

    def stop(self, timeout: float) -> bool:
        """Ends the thread; False when that took over `timeout` seconds."""
        with self._lock:
            loop = self._loop
        return loop is None or loop.stop(timeout)

    def renew_due(self) -> None:
        """One tick: gives back what could not be before, and renews every lease when one is due."""
        self._release()
        with self._lock:
            runs = list(self._runs)
        if not runs or not self._is_due():
            return
        for run, error in self._engine.write(lambda unit: _renew(unit, runs)):
            if not run.has_ended:
                logger.warning("worker %s: %s", run.lease.worker, error, extra={"session_id": run.lease.session_id})
            self.drop(run)
        with self._lock:
            self._plan(min(run.lease.lease_ms for run in runs))

    def _release(self) -> None:
        with self._lock:
            leases = list(self._to_release)
        for lease in leases:
            self._engine.write(lambda unit, lease=lease: give_back(unit, lease))  # type: ignore[misc]
            with self._lock:
                del self._to_release[lease]

    def _plan(self, lease_ms: int, *, only_earlier: bool = False) -> None:
        seconds, now = lease_ms / 1000 / RENEWALS_A_LEASE, self._clock()
        due_at = time.monotonic() + seconds
        if not only_earlier or self._planned is None or due_at < self._due_at:
            self._due_at, self._planned = due_at, (now, now + timedelta(seconds=seconds))

    def _is_due(self) -> bool:
        """By either clock. The store's may jump: forward, every lease looks expired; back, others shorten it."""
        if self._planned is None or time.monotonic() >= self._due_at:
            return True
        planned_at, due_at = self._planned
        return not planned_at <= self._clock() < due_at


def _renew(unit: UnitOfWork, runs: list[Renewable]) -> list[tuple[Renewable, LeaseLostError]]:
    """The runs whose lease is lost, each with what became of it."""
    leases = [(run, run.lease) for run in runs]
    return [(run, lost(unit, lease)) for run, lease in leases if not unit.runs.renew(lease)]
