"""What the background loop does for a store."""

import time

from sessionstore.clock import checked_timeout
from sessionstore.maintenance import Job, MaintenanceLoop, ShouldStop
from sessionstore.operations import retention
from sessionstore.operations.store import Store

# A year: more than anybody waits for, and less than any system's timers take.
LONGEST_WAIT_SECONDS = 365 * 24 * 3600.0


class Upkeep:
    """The scheduled cleanup and the write-behind of access times, on one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        settings = store.settings
        self._cleanup = Job("the cleanup", lambda should_stop: clean_up(store, should_stop), settings.cleanup_interval)
        self._accesses = Job(
            "saving access times", lambda _: store.accesses.save(store.engine), settings.touch_interval
        )
        self._loop = MaintenanceLoop(self._cleanup, self._accesses)
        self._loop.start()

    def is_cleaning_up(self) -> bool:
        """Whether expired sessions go by themselves."""
        return self._loop.is_alive() and self._cleanup.interval_seconds is not None

    def set_cleanup_interval(self, seconds: float | None) -> None:
        self._loop.set_interval(self._cleanup, seconds)

    def wait_for_cleanup(self, timeout: float) -> bool:
        """Has a cleanup pass run now, and waits for it."""
        return self._loop.wait_for_pass(self._cleanup, timeout)

    def shut_down(self, timeout: float) -> bool:
        """Stops the thread, then closes the store; False when running work took over `timeout` seconds."""
        seconds = min(checked_timeout(timeout, "timeout"), LONGEST_WAIT_SECONDS)
        self._store.engine.refuse_inside_transaction()
        deadline = time.monotonic() + seconds
        stopped = self._loop.stop(seconds)
        return self._store.close(max(0.0, deadline - time.monotonic())) and stopped


def clean_up(store: Store, should_stop: ShouldStop) -> None:
    """One pass: expired sessions, old history, then the space they left."""
    retention.clean_up_expired(store, should_stop=should_stop)
    retention.prune_history(store, should_stop)
    retention.reclaim_space(store, should_stop)
