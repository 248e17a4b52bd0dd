"""The parts of children that write stories."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from sessionstore.errors import SessionManagerError
from sessionstore.manager import SessionManager
from sessionstore.settings import Settings
from sessionstore.verification.reports import Reporter, described
from sessionstore.verification.stories import Story

Retry = Callable[[SessionManagerError], bool]


def write(report: Reporter, *, settings: dict[str, Any], threads: int) -> None:
    """Writes stories and acknowledges every step, until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with SessionManager(settings=Settings(**settings)) as manager:
        for thread in writers(report, manager, threads, stop):
            thread.join()


def writers(
    report: Reporter, manager: SessionManager, threads: int, stop: threading.Event, retry: Retry = lambda _: False
) -> list[threading.Thread]:
    """Threads that have begun to write; each ends with `stop`, or an error that is not for `retry` to have repeated."""

    def run(thread: int) -> None:
        try:
            for step in _steps(f"{report.name}.{thread}", stop):
                _take(report, manager, *step, retry)
        except Exception as error:  # noqa: BLE001 - no write may fail; the process that counts must hear of it
            report("failed", described(error))

    pool = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for thread in pool:
        thread.start()
    return pool


def _steps(thread: str, stop: threading.Event) -> Iterator[tuple[Story, int]]:
    for number in count(1):
        story = Story(f"{thread}-{number}")
        for step in range(1, story.steps + 1):
            if stop.is_set():
                return
            yield story, step


def _take(report: Reporter, manager: SessionManager, story: Story, step: int, retry: Retry) -> None:
    while True:
        begun = time.perf_counter_ns()
        try:
            story.write(manager, step)
        except SessionManagerError as error:
            if not retry(error):
                raise
        else:
            # Not before: from here on the store answers for it.
            report("saved", story.session_id, step, (time.perf_counter_ns() - begun) // 1000)
            return
