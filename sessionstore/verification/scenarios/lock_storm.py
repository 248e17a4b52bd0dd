"""Many processes and threads write, while a stranger holds the right to write and another one an old snapshot."""

import signal
import time

from sessionstore.verification.acknowledgements import Acknowledgements
from sessionstore.verification.children import PATIENCE_SECONDS, Child
from sessionstore.verification.ground import Ground, judge
from sessionstore.verification.verdicts import NotTriedError, Trial

PROMISE = (
    "However many write, and though strangers hold the lock for seconds or read an old state, no write fails, none "
    "waits for longer than lock_timeout, all are there, and the log shrinks again."
)

DATABASE = "storm"
THREADS = 4
MAX_HOLD_SECONDS = 3.0
# Within the time for writing: when the two holders come, and until when the reader stays.
HOLDS_AT = (0.15, 0.5)
READER_SHARE = 0.5
# What is written meanwhile stays in the log, which would soon be as large as a run may make it.
MAX_READ_SECONDS = 5.0
# A write that got its turn in time takes so much longer, on a slow disk.
SLACK_SECONDS = 5.0
# A log that grew is cut back to 16 MiB when it starts over, and grows by some between two checkpoints.
LOG_BOUND_BYTES = 48 * 1024 * 1024


def try_it(ground: Ground, trial: Trial) -> None:
    """One storm, for as long as there is time."""
    acknowledged = Acknowledgements()
    with ground.opened(DATABASE) as manager:
        writers = [ground.start_writer(DATABASE, acknowledged, THREADS) for _ in range(ground.processes)]
        ground.wait_for_writes(acknowledged, writers)
        strangers, hold_seconds = _let_strangers_in(ground, acknowledged)
        is_reader_gone = strangers[0].has_ended
        log_bytes = manager.get_metrics().storage_bytes["wal"]
        for writer in writers:
            writer.send(signal.SIGTERM)
        for writer in writers:
            writer.wait_for("ended", seconds=PATIENCE_SECONDS + hold_seconds)
        for stranger in strangers:
            stranger.kill()
        # The first is the reader.
        holds = sum(len(stranger.all("holds")) for stranger in strangers[1:])
        trial.extent = f"{len(writers)} x {THREADS} threads, {len(acknowledged):,} writes, the lock held {holds} times"
        trial.figures |= {"longest_hold_seconds": hold_seconds, "log_bytes": log_bytes} | acknowledged.figures()
        judge(trial, manager, acknowledged.compare_all(manager))
    _judge_waits(ground, trial, acknowledged, strangers)
    if not is_reader_gone:
        trial.notes.append("So much was written that the reader was still there: whether the log shrinks was not seen.")
    elif log_bytes > LOG_BOUND_BYTES:
        trial.fail(f"the log still had {log_bytes:,} bytes after the reader was gone")
    if not holds:
        raise NotTriedError(f"{ground.max_bytes:,} bytes were written before a stranger could get the lock")


def _let_strangers_in(ground: Ground, acknowledged: Acknowledgements) -> tuple[list[Child], float]:
    """The strangers that came, and for how many seconds each of the two had the right to write."""
    begin = time.monotonic()
    seconds = max(1.0, ground.writing_end - begin)
    hold_seconds = min(MAX_HOLD_SECONDS, seconds / 6, ground.settings.lock_timeout / 4)
    read_seconds = min(MAX_READ_SECONDS, READER_SHARE * seconds)
    path = str(ground.scratch.path(DATABASE))
    strangers = [ground.children.start("hold_snapshot", path=path, seconds=read_seconds)]
    for share in HOLDS_AT:
        if not ground.wait(begin + share * seconds):
            break
        strangers.append(ground.children.start("hold_lock", path=path, seconds=hold_seconds))
        ground.say(f"{len(acknowledged):,} writes, and a stranger comes for the lock")
    ground.wait(begin + seconds)
    return strangers, hold_seconds


def _judge_waits(ground: Ground, trial: Trial, acknowledged: Acknowledgements, strangers: list[Child]) -> None:
    trial.fail(*(f"a write failed: {error}" for error in acknowledged.errors))
    trial.fail(*(f"a stranger: {error}" for stranger in strangers for (error,) in stranger.all("failed")))
    worst_seconds = max(acknowledged.write_us, default=0) / 1_000_000
    if worst_seconds > ground.settings.lock_timeout + SLACK_SECONDS:
        trial.fail(f"a write took {worst_seconds:.1f} s, with a lock_timeout of {ground.settings.lock_timeout:g} s")
