"""Finding sessions whose worker is gone, and giving them to the next one.

A lease that has run out is not enough: its owner may only have been kept from the database, or the clock may have
jumped. So whoever looks gives it a moment to renew, and after an outage a whole lease period.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sessionstore.clock import wait_unless
from sessionstore.errors import DatabaseUnavailableError, SessionCorruptedError, SessionLockError, SessionManagerError
from sessionstore.events import EventType
from sessionstore.maintenance import ShouldStop
from sessionstore.models import GenerationStatus, RunOutcome
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.operations.store import Store
from sessionstore.persistence.runs import RunState
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.processes import is_dead

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What the owner of an expired lease gets to renew it: four ticks of its heartbeats.
CONFIRM_SECONDS = 1.0
# Who waits so long to write was kept from the database, and so were the owners of leases.
OUTAGE_SECONDS = 0.5
# Of one transaction, so that writers get in between.
BATCH_RUNS = 200


class InterruptedSessions:
    """Looks for runs that nobody carries on. Remembers outages from one look to the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Since when the database can be written without a break, as far as is known; infinity while it cannot.
        self._back_since = -math.inf

    def recover(self, should_stop: ShouldStop = lambda: False) -> int:
        """Gives back what dead processes hold, at once, and what leases that have run out held; how many sessions."""
        if self._store.engine.is_inside_transaction():
            raise SessionManagerError(
                "recover_interrupted_sessions() was called inside a transaction, which would keep owners from renewing"
            )
        now, runs = self._look()
        recovered = self._give_back([run for run in runs if is_dead(run.process)], "its process died")
        expired = [run for run in runs if run.lease_expires_at <= now]
        if not expired:
            return recovered
        # First of all, whether leases could be renewed: who looks when an outage ends competes with their owners.
        self._write(lambda unit: None)
        expired = [run for run in expired if time.monotonic() - self._back_since >= run.lease.lease_ms / 1000]
        if expired and wait_unless(should_stop, CONFIRM_SECONDS):
            recovered += self._give_back(expired, "its lease ran out unrenewed", is_certain=False)
        return recovered

    def recover_dead(self) -> int:
        """Only what processes that have died on this machine held."""
        _, runs = self._look()
        return self._give_back([run for run in runs if is_dead(run.process)], "its process died")

    def _look(self) -> tuple[datetime, list[RunState]]:
        """The time and all open runs. A lease that reaches too far, for the clock was set back since, is shortened."""
        now, runs = self._noticing_outages(
            lambda: self._store.engine.read(lambda unit: (unit.now, unit.runs.list_open()))
        )
        too_long = [run for run in runs if run.lease_expires_at > now + timedelta(milliseconds=run.lease.lease_ms)]
        if too_long:
            self._write(lambda unit: unit.runs.shorten(too_long))
        return now, runs

    def _give_back(self, runs: Sequence[RunState], why: str, *, is_certain: bool = True) -> int:
        max_attempts, recovered = self._store.settings.max_attempts, 0
        for start in range(0, len(runs), BATCH_RUNS):
            batch, asked = runs[start : start + BATCH_RUNS], time.monotonic()

            def work(unit: UnitOfWork, batch: Sequence[RunState] = batch, asked: float = asked) -> int:
                # The one thing it may ask a clock for: how long it was kept waiting.
                if not is_certain and time.monotonic() - asked > OUTAGE_SECONDS:
                    return 0
                return sum(_recover(unit, run, why, max_attempts, is_certain=is_certain) for run in batch)

            recovered += self._write(work)
        return recovered

    def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Runs `work`, and takes down how long the database kept it waiting; reading waits for nobody."""
        asked, was_away = time.monotonic(), self._back_since == math.inf
        result = self._noticing_outages(lambda: self._store.engine.write(work))
        if was_away or time.monotonic() - asked > OUTAGE_SECONDS:
            self._back_since = time.monotonic()
            logger.warning("the database could not be written for a while; leases get one more period to be renewed")
        return result

    def _noticing_outages(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (SessionLockError, DatabaseUnavailableError):
            self._back_since = math.inf
            raise


def _recover(unit: UnitOfWork, seen: RunState, why: str, max_attempts: int, *, is_certain: bool) -> bool:
    """Ends the run as crashed, unless it has ended or was renewed since it was `seen`."""
    session_id, run = seen.lease.session_id, unit.runs.find(seen.lease)
    if run is None or run.outcome is not None:
        return False
    if not is_certain and run.lease_expires_at != seen.lease_expires_at:
        return False
    try:
        current = unit.sessions.state(session_id)
    except SessionCorruptedError as error:
        # Nobody can go on with it as it is. Its run ends, or it would be met again at each look.
        logger.warning("session %s is not given to another worker: %s", session_id, error)
        unit.runs.end(session_id, RunOutcome.CRASHED)
        return False
    if current is None:
        return False
    crashes = unit.runs.count_crashes(session_id) + 1
    who = f"attempt {run.lease.attempt} of worker {run.lease.worker!r}"
    unit.runs.end(session_id, RunOutcome.CRASHED)
    changes = Changes(status=GenerationStatus.PENDING)
    if crashes >= max_attempts:
        message = (
            f"its workers died {crashes} times in a row, as often as max_attempts allows; the last was {who} ({why}); "
            "retry_session() tries again"
        )
        changes = Changes(status=GenerationStatus.FAILED, columns={"error_message": message})
    apply_changes(unit, session_id, current, changes)
    unit.history.record(session_id, EventType.RECOVERED)
    unit.publish(session_id, EventType.RECOVERED)
    logger.warning("session %s is taken back from %s: %s", session_id, who, why)
    return True
