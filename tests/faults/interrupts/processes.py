"""A process that ends while its threads write: `python -m tests.faults.interrupts.processes leave DATABASE SECONDS`."""

import sys
import threading
import time
from pathlib import Path

from tests.concurrency import manager_on, request
from tests.workers import Worker, say

THREADS = 4


class LeavingWorker(Worker):
    """A process of this module."""

    module = "tests.faults.interrupts.processes"


def leave(database: Path, seconds: float) -> None:
    """Returns while daemon threads write and report what was acknowledged, without shutting anything down."""
    manager = manager_on(database)

    def write(name: str) -> None:
        number = 0
        while True:
            number += 1
            say(manager.create_session(request(), session_id=f"{name}-{number}"))

    for thread in range(THREADS):
        threading.Thread(target=write, args=(f"w{thread}",), daemon=True).start()
    time.sleep(seconds)


if __name__ == "__main__":
    leave(Path(sys.argv[2]), float(sys.argv[3]))
