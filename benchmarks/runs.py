"""One measured run: a database of its own, a team that works on it, and the verification."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import disk
from benchmarks.notes import merged
from benchmarks.results import Run
from benchmarks.team import Job, Outcome, prepare, run_team
from benchmarks.verification import Losses, verify
from benchmarks.workloads import WORKLOADS


def measure(job: Job, *, filled_sessions: int = 0, template: Path | None = None) -> Run:
    """Does the job in a new folder, that of `job.path`, verifies it, and leaves nothing behind.

    A `template` is a database that holds `filled_sessions`, of which a copy is worked on.
    """
    folder = job.path.parent
    folder.mkdir()
    try:
        if template is not None:
            copy_to_disk(template, job.path)
        prepared = prepare(job)
        fdatasync_us = disk.fdatasync_us(folder.parent)
        outcomes = run_team(replace(job, session_ids=tuple(each.session_id for each in prepared)))
        acknowledged = prepared + [each for outcome in outcomes for each in outcome.acknowledged]
        sessions = filled_sessions + len({each.session_id for each in acknowledged})
        bytes_a_session = disk.bytes_in(folder) / max(1, sessions)
        losses = verify(job.entry, job.path, job.durability, acknowledged)
    finally:
        shutil.rmtree(folder)
    return _run(job, outcomes, losses, bytes_a_session, fdatasync_us)


def copy_to_disk(template: Path, path: Path) -> None:
    """A copy that is synced: else the first commits would wait for gigabytes of it."""
    shutil.copyfile(template, path)
    os.sync()


def _run(job: Job, outcomes: Sequence[Outcome], losses: Losses, bytes_a_session: float, fdatasync_us: float) -> Run:
    notes = merged(outcome.notes for outcome in outcomes)
    paces = [pace for outcome in outcomes for pace in outcome.paces]
    total = sum(done for done, _ in paces)
    return Run(
        contestant=job.entry.name,
        count=total,
        rate=WORKLOADS[job.workload].rate(paces),
        cpu_ms=1000 * sum(outcome.cpu_seconds for outcome in outcomes) / max(1, total),
        bytes_a_session=bytes_a_session,
        fdatasync_us=fdatasync_us,
        times=notes.times(),
        lost=losses.lost,
        first_loss=losses.first,
        refused=notes.refused,
        first_refusal=notes.first_refusal,
    )
