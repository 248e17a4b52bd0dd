"""Fencing: the proof of its lease that each write of a run carries, and what a run is told that has none any more."""

from collections.abc import Callable
from typing import TypeVar

from sessionstore.errors import LeaseLostError, SessionCancelledError
from sessionstore.models import GenerationStatus, RunOutcome
from sessionstore.operations.changes import Changes, apply_changes
from sessionstore.persistence.engines.base import Engine
from sessionstore.persistence.runs import Lease
from sessionstore.persistence.unit import UnitOfWork

T = TypeVar("T")


def write_fenced(engine: Engine, lease: Lease, work: Callable[[UnitOfWork], T]) -> T:
    """Runs `work` in a transaction that ends here when the lease is held no more.

    Raises:
        LeaseLostError: saying who has the session now, or what became of it.
    """

    def fenced(unit: UnitOfWork) -> T:
        require_held(unit, lease)
        return work(unit)

    return engine.write(fenced)


def require_held(unit: UnitOfWork, lease: Lease) -> None:
    """To be asked in the transaction that writes: nobody can take the session over before it ends."""
    if not unit.runs.is_held(lease):
        raise lost(unit, lease)


def lost(unit: UnitOfWork, lease: Lease) -> LeaseLostError:
    """What to tell a run that holds its session no more."""
    session_id, own, latest = lease.session_id, unit.runs.find(lease), unit.runs.latest(lease.session_id)
    is_taken_over = latest is not None and latest.lease.run_id != lease.run_id
    facts = {"session_id": session_id, "holder": latest.lease.worker if latest is not None and is_taken_over else None}
    if own is not None and own.outcome is RunOutcome.CANCELLED:
        return SessionCancelledError(
            f"session {session_id!r} was cancelled; stop this run, its writes are refused", **facts
        )
    if not unit.sessions.is_there(session_id):
        what = "is gone"
    elif latest is not None and is_taken_over:
        since = "" if latest.outcome is None else f", {latest.outcome} since"
        what = (
            f"is now attempt {latest.lease.attempt} of worker {latest.lease.worker!r}{since} "
            f"(yours was attempt {lease.attempt})"
        )
    elif own is None:
        what = f"knows nothing of attempt {lease.attempt}: it was made again since, or the claim was rolled back"
    elif own.outcome is RunOutcome.CRASHED:
        what = f"was taken back from attempt {lease.attempt}, whose lease ran out unrenewed"
    else:
        what = f"is no more yours: attempt {lease.attempt} has ended, {own.outcome}"
    return LeaseLostError(f"session {session_id!r} {what}; stop this run, its writes are refused", **facts)


def give_back(unit: UnitOfWork, lease: Lease) -> None:
    """Makes the session pending again, when the lease is still held."""
    current = unit.sessions.state(lease.session_id)
    if current is not None and unit.runs.is_held(lease):
        apply_changes(unit, lease.session_id, current, Changes(status=GenerationStatus.PENDING))
