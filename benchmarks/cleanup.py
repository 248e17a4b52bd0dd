"""Deleting many expired sessions while somebody writes, and giving the space back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from benchmarks import disk
from benchmarks.contestants import STORE
from benchmarks.contestants.this_store import ThisStore
from benchmarks.filling import Filling
from benchmarks.notes import Acknowledged
from benchmarks.processes import run_fresh
from benchmarks.results import Cleanup
from benchmarks.verification import verify
from benchmarks.writer import Writer
from sessionstore.testing import wait_for_cleanup

MOST_EXPIRED = 100_000
# How long a pass of the scheduled cleanup, which gives the space back, may take.
PATIENCE_SECONDS = 1800


def measure_cleanup(path: Path, filling: Filling) -> Cleanup:
    """On the filled store at `path`, alone in its folder; verifies what was written meanwhile."""
    ((cleanup, acknowledged),) = run_fresh(_clean_up, (path, filling))
    bytes_after = disk.bytes_in(path.parent)
    losses = verify(STORE, path, "full", acknowledged)
    return replace(cleanup, bytes_after=bytes_after, lost=losses.lost, first_loss=losses.first)


def _clean_up(path: Path, filling: Filling) -> tuple[Cleanup, list[Acknowledged]]:
    """What is known before the file is closed, and what was acknowledged meanwhile."""
    # Half at most: then a small store shows as well what stays.
    oldest_to_keep = filling.created_at(min(MOST_EXPIRED, filling.sessions // 2))
    # Half a batch less, for time goes on.
    between = (filling.created_at(filling.batch) - filling.begun_at) / 2
    retention = (datetime.now(UTC) - oldest_to_keep + between) / timedelta(hours=1)
    store = ThisStore(path, "full", completed_retention_hours=retention)
    bytes_before = disk.bytes_in(path.parent)
    with Writer(store) as writer:
        start = perf_counter()
        deleted = store.manager.cleanup_expired_sessions()
        seconds = perf_counter() - start
        if not wait_for_cleanup(store.manager, PATIENCE_SECONDS):
            raise TimeoutError(f"a cleanup pass took more than {PATIENCE_SECONDS} seconds")
    store.close()
    notes = writer.notes
    cleanup = Cleanup(deleted, seconds, notes.times()["write"], bytes_before, 0, 0, None, notes.refused)
    return cleanup, writer.acknowledged
