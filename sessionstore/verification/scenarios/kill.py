"""Writers are killed with SIGKILL while they write, again and again, also while they make the database."""

import random
import time
from itertools import count, cycle

from sessionstore.verification.acknowledgements import Acknowledgements
from sessionstore.verification.ground import Ground, judge
from sessionstore.verification.verdicts import Trial

PROMISE = "Every acknowledged write survives kill -9, whole; nothing else gets in; the database opens again."

# (processes, threads of each), in turn.
CREWS = ((1, 4), (2, 2), (1, 1), (3, 2))
MAX_LIFE_SECONDS = 0.3
# A new database so often: making one is something to be killed at, too, and looking through a large one takes time.
ROUNDS_PER_DATABASE = 8


def try_it(ground: Ground, trial: Trial) -> None:
    """Start, kill at random moments, open, compare; until the time is over."""
    acknowledged = Acknowledgements()
    trial.figures["kills"] = 0
    try:
        _kill_crews(ground, trial, acknowledged)
    finally:
        trial.figures |= acknowledged.figures()
        trial.fail(*(f"a write failed: {error}" for error in acknowledged.errors))


def _kill_crews(ground: Ground, trial: Trial, acknowledged: Acknowledgements) -> None:
    crews = cycle(CREWS)
    for database in count(1):
        name = f"kill{database}"
        for number in range(ROUNDS_PER_DATABASE):
            _kill_a_crew(ground, trial, acknowledged, name, *next(crews), is_new=number == 0)
            trial.extent = f"{trial.figures['kills']} kills, {len(acknowledged):,} writes"
            ground.say(trial.extent)
            # The first round may meet the making of the database only.
            is_over = time.monotonic() > ground.writing_end and len(acknowledged) > 0
            if is_over or ground.is_full():
                break
        if not trial.failures:  # Or what is known already would be counted twice.
            with ground.opened(name) as manager:
                judge(trial, manager, acknowledged.compare_all(manager))
        if is_over:
            return
        ground.scratch.clear()
        acknowledged.forget_sessions()


def _kill_a_crew(
    ground: Ground,
    trial: Trial,
    acknowledged: Acknowledgements,
    name: str,
    processes: int,
    threads: int,
    *,
    is_new: bool,
) -> None:
    """One after the other, so that those which live meet what the dead left."""
    writers = [ground.start_writer(name, acknowledged, threads) for _ in range(processes)]
    if not is_new:
        ground.wait_for_writes(acknowledged, writers)
    for writer in writers:
        ground.wait(time.monotonic() + random.uniform(0, MAX_LIFE_SECONDS))
        writer.kill()
        trial.figures["kills"] = int(trial.figures["kills"]) + 1
    begun = time.perf_counter()
    with ground.opened(name) as manager:
        reopen_ms = (time.perf_counter() - begun) * 1000
        trial.figures["worst_reopen_ms"] = max(reopen_ms, float(trial.figures.get("worst_reopen_ms", 0)))
        written = acknowledged.sessions_of(writer.name for writer in writers)
        judge(trial, manager, acknowledged.compare(manager, written))
