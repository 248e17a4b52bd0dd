"""The one background loop of a store: starts, wakes, stops, and survives whatever a pass does."""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

ShouldStop = Callable[[], bool]


class Job:
    """Something done every `interval_seconds`; None for only when woken.

    A pass gets a function that says whether it should stop, to be asked between its steps.
    """

    def __init__(self, name: str, run: Callable[[ShouldStop], object], interval_seconds: float | None) -> None:
        self.name = name
        self.run = run
        self.interval_seconds = interval_seconds
        self.passes_begun = 0
        self.passes_finished = 0
        self.last_begun = time.monotonic()
        self.is_woken = False
        self.is_failing = False

    def seconds_until_due(self) -> float | None:
        if self.is_woken:
            return 0.0
        if self.interval_seconds is None:
            return None
        return max(0.0, self.last_begun + self.interval_seconds - time.monotonic())


class MaintenanceLoop:
    """Runs jobs on one daemon thread. Methods may be called from any thread."""

    def __init__(self, *jobs: Job, name: str = "sessionstore-maintenance") -> None:
        self._jobs = jobs
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float) -> bool:
        """Asks the running pass to stop and ends the thread; False when that took over `timeout` seconds."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def wake(self, job: Job) -> None:
        """Has a pass of `job` begin as soon as possible."""
        with self._changed:
            job.is_woken = True
            self._changed.notify_all()

    def set_interval(self, job: Job, interval_seconds: float | None) -> None:
        """Changes the interval at once, also for the wait that is going on."""
        with self._changed:
            job.interval_seconds = interval_seconds
            self._changed.notify_all()

    def wait_for_pass(self, job: Job, timeout: float) -> bool:
        """Wakes `job`, and waits until a pass that began after this call has finished."""
        with self._changed:
            wanted = job.passes_begun + 1
            job.is_woken = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: job.passes_finished >= wanted, timeout)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.run(self._stopping.is_set)
            except BaseException:
                # Once for a row of failures: a database that is away for an hour would fill the log with its absence.
                if not job.is_failing:
                    logger.exception("a pass of %s failed; the next ones are tried as scheduled", job.name)
                job.is_failing = True
            else:
                if job.is_failing:
                    logger.warning("%s works again", job.name)
                job.is_failing = False
            with self._changed:
                job.passes_finished += 1
                self._changed.notify_all()

    def _next(self) -> Job | None:
        """Waits for the next job that is due; None when it is time to stop."""
        with self._changed:
            while not self._stopping.is_set():
                due = {job: seconds for job in self._jobs if (seconds := job.seconds_until_due()) is not None}
                soonest = min(due, key=due.__getitem__, default=None)
                if soonest is None or due[soonest] > 0:
                    self._changed.wait(None if soonest is None else min(due[soonest], threading.TIMEOUT_MAX))
                    continue
                soonest.is_woken = False
                soonest.passes_begun += 1
                soonest.last_begun = time.monotonic()
                return soonest
            return None
