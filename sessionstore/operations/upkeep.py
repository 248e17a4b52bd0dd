"""What the background loop does for a store."""

import logging
import time

from sessionstore.clock import checked_timeout
from sessionstore.errors import SessionManagerError
from sessionstore.maintenance import Job, MaintenanceLoop, ShouldStop
from sessionstore.operations import retention, summaries
from sessionstore.operations.interrupted import InterruptedSessions
from sessionstore.operations.store import Store

logger = logging.getLogger(__name__)

# A year: more than anybody waits for, and less than any system's timers take.
LONGEST_WAIT_SECONDS = 365 * 24 * 3600.0


# As `SessionManager.shutdown` has it.
USUAL_TIMEOUT_SECONDS = 30.0


class Upkeep:
    """On one thread: cleanup, looks for interrupted sessions, summing events up, the write-behind of access times."""

    def __init__(self, store: Store) -> None:
        self._store = store
        settings = store.settings
        self._cleanup = Job("the cleanup", lambda should_stop: clean_up(store, should_stop), settings.cleanup_interval)
        self._accesses = Job(
            "saving access times", lambda _: store.accesses.save(store.engine), settings.touch_interval
        )
        self._interrupted = InterruptedSessions(store)
        recovery = Job("recovering interrupted sessions", self._interrupted.recover, settings.recovery_interval)
        summing_up = Job(
            "summing up events",
            lambda should_stop: summaries.sum_up_when_many(store, should_stop),
            settings.summary_interval,
        )
        if settings.recovery_interval is not None:
            self._recover_at_start()
        self._loop = MaintenanceLoop(self._cleanup, self._accesses, recovery, summing_up)
        self._loop.start()

    def recover(self) -> int:
        """One look for interrupted sessions, now; how many were recovered."""
        return self._interrupted.recover()

    def recover_dead(self) -> int:
        """As `recover`, of processes only that have died on this machine."""
        return self._interrupted.recover_dead()

    def is_cleaning_up(self) -> bool:
        """Whether expired sessions go by themselves."""
        return self._loop.is_alive() and self._cleanup.interval_seconds is not None

    def set_cleanup_interval(self, seconds: float | None) -> None:
        self._loop.set_interval(self._cleanup, seconds)

    def wait_for_cleanup(self, timeout: float) -> bool:
        """Has a cleanup pass run now, and waits for it."""
        return self._loop.wait_for_pass(self._cleanup, min(checked_timeout(timeout, "max_wait"), LONGEST_WAIT_SECONDS))

    def leave(self) -> bool:
        """As `shut_down` with its usual timeout; a forked child that leaves its parent's block has nothing to close."""
        return self._store.engine.gate.is_elsewhere() or self.shut_down(USUAL_TIMEOUT_SECONDS)

    def shut_down(self, timeout: float) -> bool:
        """Stops the thread, then closes the store; False when running work took over `timeout` seconds."""
        seconds = min(checked_timeout(timeout, "timeout"), LONGEST_WAIT_SECONDS)
        # Before anything is waited for: in a forked child the threads that would be are not there.
        self._store.engine.gate.require_own_process()
        self._store.engine.refuse_inside_transaction()
        deadline = time.monotonic() + seconds
        stopped = self._loop.stop(seconds)
        return self._store.close(max(0.0, deadline - time.monotonic())) and stopped

    def _recover_at_start(self) -> None:
        """So that whoever starts again finds at once what its own last crash interrupted."""
        try:
            self._interrupted.recover_dead()
        except SessionManagerError:
            logger.warning("interrupted sessions could not be recovered yet; it is tried again", exc_info=True)


def clean_up(store: Store, should_stop: ShouldStop) -> None:
    """One pass: expired sessions, old history, then the space they left."""
    retention.clean_up_expired(store, should_stop=should_stop)
    # First: events that are not summed up stay.
    summaries.sum_up(store, should_stop)
    retention.prune_history(store, should_stop)
    retention.reclaim_space(store, should_stop)
