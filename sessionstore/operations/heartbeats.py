"""Heartbeats: the one thread that keeps the leases of a store's runs alive."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from weakref import WeakSet

from sessionstore.clock import Clock
from sessionstore.errors import (
    DatabaseUnavailableError,
    LeaseLostError,
    SessionCancelledError,
    SessionLockError,
    SessionManagerError,
)
from sessionstore.maintenance import Job, MaintenanceLoop
from sessionstore.operations.fencing import give_back, lost
from sessionstore.persistence.engines.base import Engine
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork

logger = logging.getLogger(__name__)

# Two renewals may fail, or come late, before the lease runs out.
RENEWALS_A_LEASE = 3
# How often it is looked whether a renewal is due: soon enough that one is made before anybody acts on a lease that
# only a jump of the clock, or a pause of the machine, has made look expired.
TICK_SECONDS = 0.25

PostponedWrite = Callable[[UnitOfWork], object]


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
        self._postponed: list[PostponedWrite] = []
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
        """Gives a session back as soon as the database, which was away when its run ended, can be written."""
        self.write_later(partial(give_back, lease=lease))

    def write_later(self, work: PostponedWrite) -> None:
        """Runs `work` as soon as the database can be written, in the order of the calls; at the latest when closing."""
        with self._lock:
            self._postponed.append(work)

    def finish(self) -> None:
        """For the closing store: makes the writes that were postponed, and gives back what is held. Logs what fails."""
        with self._lock:
            works, self._postponed = self._postponed, []
            works += [partial(give_back, lease=run.lease) for run in self._runs]
        for work in works:
            try:
                self._engine.write(work)
            except SessionManagerError:
                logger.warning("a session that was worked on could not be given back", exc_info=True)

    def stop(self, timeout: float) -> bool:
        """Ends the thread; False when that took over `timeout` seconds."""
        with self._lock:
            loop = self._loop
        return loop is None or loop.stop(timeout)

    def renew_due(self) -> None:
        """One tick: renews every lease when one is due, then makes the writes that were postponed."""
        # In this order: a write that fails again and again must not cost those who work their leases.
        self._renew_leases()
        self._write_postponed()

    def _renew_leases(self) -> None:
        with self._lock:
            runs = list(self._runs)
        if not runs or not self._is_due():
            return
        for run, error in self._engine.write(lambda unit: _renew(unit, runs)):
            level = logging.INFO if run.has_ended or isinstance(error, SessionCancelledError) else logging.WARNING
            logger.log(level, "worker %s: %s", run.lease.worker, error, extra={"session_id": run.lease.session_id})
            self.drop(run)
        with self._lock:
            # Of those there are now: one with a shorter lease may have come meanwhile.
            if self._runs:
                self._plan(min(run.lease.lease_ms for run in self._runs))

    def _write_postponed(self) -> None:
        while self._postponed:
            work = self._postponed[0]
            try:
                self._engine.write(work)
            except (SessionLockError, DatabaseUnavailableError):
                raise
            except SessionManagerError as error:
                logger.warning("a write that was postponed came too late: %s", error)
            with self._lock:
                self._postponed.remove(work)

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
