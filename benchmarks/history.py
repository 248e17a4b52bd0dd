"""A store with a month behind it: half of its sessions are gone, some failed, and a few never came to an end."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from benchmarks.contestants.this_store import ThisStore
from benchmarks.courses import COMPLETED, FAILED, MONTH, History, Step
from benchmarks.generation import SCENES, STORY, scene
from benchmarks.processes import run_fresh
from benchmarks.progress import Progress
from sessionstore import GenerationRequest, MediaType, ScenePrompt, SessionManager
from sessionstore.testing import ManualClock, wait_for_cleanup

KEPT = MONTH / 2
# How long the last cleanup pass, which gives the space back, may take.
PATIENCE_SECONDS = 1800
ERRORS = (
    "the provider refused the prompt",
    "the provider did not answer within 120 seconds",
    "no space was left for the image",
    "the worker ran out of memory",
)
REQUESTS = [GenerationRequest(story_text=STORY, num_scenes=SCENES, media_type=each) for each in MediaType]
COMPLETE = {"status": COMPLETED, "scenes": [ScenePrompt(**scene(number)) for number in range(1, SCENES + 1)]}


def history_until_now(sessions: int) -> History:
    return History(sessions, datetime.now(UTC) - MONTH)


def make_history(history: History, path: Path) -> float:
    """Makes the database in a fresh process and closes it; the seconds that it took."""
    (seconds,) = run_fresh(_make, (history, path))
    # Else the first commits of those who are measured would wait for gigabytes of it.
    os.sync()
    return seconds


def _make(history: History, path: Path) -> float:
    """A cleanup each day finds what ended, or was created and never ended, half a month before."""
    limits = ("session_max_age", "failed_retention", "completed_retention", "cancelled_retention")
    hours = KEPT / timedelta(hours=1)
    clock = ManualClock(history.begun_at)
    store = ThisStore(path, "normal", clock=clock, **{f"{each}_hours": hours for each in limits})
    begun, cleaned_up_at = perf_counter(), clock.now
    for batch in history.batches():
        _show(history, batch.start, perf_counter() - begun)
        _write(store.manager, clock, history, batch)
        if clock.now - cleaned_up_at >= timedelta(days=1):
            store.manager.cleanup_expired_sessions()
            cleaned_up_at = clock.now
    clock.now = history.ends_at()
    # As scheduled: it also sums up the last events.
    if not wait_for_cleanup(store.manager, PATIENCE_SECONDS):
        raise TimeoutError(f"a cleanup pass took more than {PATIENCE_SECONDS} seconds")
    seconds = perf_counter() - begun
    store.close()
    Progress().clear()
    return seconds


def _show(history: History, made: int, seconds: float) -> None:
    cost = f", {1_000_000 * seconds / made:,.0f} µs each" if made else ""
    Progress().show(f"making a month of history: {made:,} of {history.sessions:,} sessions{cost}")


def _write(manager: SessionManager, clock: ManualClock, history: History, batch: range) -> None:
    ids: dict[int, str] = {}
    for clock.now, steps in history.moments(batch):
        # A transaction each: a commit for each step would take hours.
        with manager.transaction():
            for step in steps:
                _take(manager, step, ids)


def _take(manager: SessionManager, step: Step, ids: dict[int, str]) -> None:
    session, status = step
    if status is None:
        ids[session] = manager.create_session(REQUESTS[session % len(REQUESTS)], metadata={"user": "u-17"})
    elif status is COMPLETED:
        manager.atomic_session_update(ids[session], COMPLETE)
    else:
        message = ERRORS[session % len(ERRORS)] if status is FAILED else None
        manager.update_session_status(ids[session], status, message)
