"""A pool of threads that claim sessions and have them generated: what `sessionstore worker` runs, to use or to copy."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sessionstore.clock import checked_timeout
from sessionstore.errors import (
    CallHeldError,
    DatabaseUnavailableError,
    LeaseLostError,
    ManagerClosedError,
    SessionCancelledError,
    SessionLockError,
)
from sessionstore.exact import exact_integer, exact_text
from sessionstore.identifiers import checked_identifier
from sessionstore.manager import SessionManager
from sessionstore.operations.claiming import checked_lease_ms
from sessionstore.operations.failures import message_of
from sessionstore.operations.run import GenerationRun

logger = logging.getLogger(__name__)

Generator = Callable[[GenerationRun[Any, Any]], Iterable[Any] | None]
"""Makes what a session lacks: it yields scenes, or saves them with the methods of the run and returns None."""

# Each is a thread of the system, and a reader of the database.
MAX_THREADS = 1000
# How often the pool looks whether it is to end; a signal handler runs in between.
LOOK_SECONDS = 0.2
# After an error of the database, so that a pool does not keep a broken one busy.
PAUSE_SECONDS = 5.0


def generate(run: GenerationRun[Any, Any], generator: Generator) -> None:
    """Has the generator work on a run, up to its end: the session is completed, failed, or given back.

    Raises:
        Exception: what the generator raised, once that is recorded.
    """
    with run:
        try:
            made = generator(run)
            if made is not None and (isinstance(made, str | bytes | Mapping) or not isinstance(made, Iterable)):
                raise TypeError(f"a generator yields scenes or returns None, not {type(made).__name__}")
            for scene in made or ():
                run.add_scene(scene)
        except BaseException as error:
            if isinstance(error, Exception) or run.is_stopping:
                raise
            # `SystemExit`, or a cancelled task: given back, the session would be claimed at once, to end so again.
            raise RuntimeError(f"the generator ended with {error!r}") from error


class WorkerPool:
    """Threads that each claim the oldest pending session, generate it, and go on until `stop`.

    manager: where the sessions are; the pool does not close it.
    name: the workers are called `name-1`, `name-2`, ...
    poll_seconds: how long a worker that found nothing waits before it looks again.
    report: gets a line for each session that is begun and ended, on the thread of its worker.

    A session that fails is recorded as such, and logged; a database that fails is tried again. Neither ends a worker.
    """

    def __init__(
        self,
        manager: SessionManager[Any, Any],
        generator: Generator,
        *,
        name: str,
        threads: int = 1,
        lease_seconds: float = 60,
        poll_seconds: float = 1,
        report: Callable[[str], object] = logger.info,
    ) -> None:
        if not callable(generator):
            raise TypeError(f"generator must be callable, not {type(generator).__name__}")
        number_of_threads = exact_integer(threads)
        if number_of_threads is None or not 1 <= number_of_threads <= MAX_THREADS:
            raise ValueError(f"threads must be an integer from 1 to {MAX_THREADS}")
        name = exact_text(name, "name")
        checked_identifier(f"{name}-{number_of_threads}", "name")
        checked_lease_ms(lease_seconds)
        checked_timeout(poll_seconds, "poll_seconds")
        self._manager = manager
        self._generator = generator
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._report = report
        self._stopping = threading.Event()
        self._ends_when_idle = False
        self._runs: set[GenerationRun[Any, Any]] = set()
        # Daemons: a generator that does not come back must not keep the process; its session is given back anyway.
        self._threads = [
            threading.Thread(target=self._work, args=(f"{name}-{number}",), name=f"{name}-{number}", daemon=True)
            for number in range(1, number_of_threads + 1)
        ]

    def run(self, *, until_idle: bool = False) -> None:
        """Starts the workers, and returns when all have ended: after `stop`, or when nothing is pending any more.

        Waits in small steps, so that a handler of the main thread can call `stop`.
        """
        self._ends_when_idle = until_idle
        for thread in self._threads:
            thread.start()
        while not self._stopping.is_set() and any(thread.is_alive() for thread in self._threads):
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Has no more sessions claimed, and each worker stop at its next write, wait or look; they give theirs back."""
        self._stopping.set()
        for run in list(self._runs):
            run.request_stop()

    def wait(self, timeout: float) -> bool:
        """Waits for the workers to end; False when that took over `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, worker: str) -> None:
        while not self._stopping.is_set():
            try:
                run = self._manager.claim_next_session(worker, lease_seconds=self._lease_seconds)
            except ManagerClosedError:
                return
            except Exception:
                logger.exception("worker %s could not claim a session; it tries again", worker)
                self._stopping.wait(PAUSE_SECONDS)
                continue
            if run is not None:
                self._generate(run)
            elif self._ends_when_idle:
                return
            else:
                self._stopping.wait(self._poll_seconds)

    def _generate(self, run: GenerationRun[Any, Any]) -> None:
        begun = time.monotonic()
        self._tell(f"{run.worker}: session {run.session_id}, attempt {run.attempt}")
        self._runs.add(run)
        try:
            if self._stopping.is_set():
                run.request_stop()
            generate(run, self._generator)
            how = f"completed in {time.monotonic() - begun:.1f} s"
        except SessionCancelledError:
            how = "was cancelled"
        except LeaseLostError as error:
            how = f"is left alone: {message_of(error)}"
        except (SessionLockError, DatabaseUnavailableError, ManagerClosedError) as error:
            how = f"is given back after {type(error).__name__}"
            logger.exception("session %s cannot be worked on", run.session_id)
            # It would be claimed at once, to fail again.
            self._stopping.wait(PAUSE_SECONDS)
        except CallHeldError as error:
            # Its message says all that there is to do; where it was raised does not matter.
            how = f"is held: {message_of(error)}"
        except Exception as error:
            how = f"ended with {type(error).__name__}: {message_of(error)}"
            logger.exception("session %s: its generator failed", run.session_id)
        except BaseException as error:  # noqa: BLE001 - whatever a generator raises, its worker goes on
            how = "is given back" if run.is_stopping else f"is given back after {type(error).__name__}"
        finally:
            self._runs.discard(run)
        self._tell(f"{run.worker}: session {run.session_id} {how}")

    def _tell(self, line: str) -> None:
        try:
            self._report(line)
        except Exception:
            logger.exception("nobody was told: %s", line)
