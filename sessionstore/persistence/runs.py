"""Runs over the table `runs`: who holds a session, until when, and how each attempt ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, literal, select, update

from sessionstore.models import RunOutcome
from sessionstore.persistence.columns import Instant
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import RunRow

RUNS = cast(Table, RunRow.__table__)
runs = RUNS.c

# Found by its key. The id too: a session that was removed and made again counts its attempts from 1 again.
_this_run = (
    runs.session_id == bindparam("id"),
    runs.attempt == bindparam("number"),
    runs.run_id == bindparam("run"),
)
_is_open = runs.ended_at.is_(None)

IS_HELD = select(runs.attempt).where(*_this_run, _is_open)
GET_RUN = select(RUNS).where(*_this_run)
GET_LATEST = select(RUNS).where(runs.session_id == bindparam("id")).order_by(runs.attempt.desc()).limit(literal(1))
LIST_OPEN = select(RUNS).where(_is_open)
START = insert(RUNS)
RENEW = update(RUNS).where(*_this_run, _is_open).values(lease_expires_at=bindparam("until", type_=Instant()))
SHORTEN = RENEW.where(runs.lease_expires_at == bindparam("seen", type_=Instant()))
END = (
    update(RUNS)
    .where(runs.session_id == bindparam("id"), _is_open)
    .values(ended_at=bindparam("now", type_=Instant()), outcome=bindparam("how"))
)
_crashes = (
    runs.session_id == bindparam("id"),
    runs.outcome == RunOutcome.CRASHED.value,
    runs.is_forgiven.is_(False),
)
LIST_CRASHES = select(runs.attempt).where(*_crashes)
FORGIVE = update(RUNS).where(*_crashes).values(is_forgiven=True)


@dataclass(frozen=True, slots=True)
class Lease:
    """What a run proves its right to write with; `attempt` is the fencing token."""

    session_id: str
    attempt: int
    worker: str
    run_id: str
    lease_ms: int


@dataclass(frozen=True, slots=True)
class RunState:
    """A row of `runs`; open while `outcome` is None."""

    lease: Lease
    process: str | None
    lease_expires_at: datetime
    outcome: RunOutcome | None


class RunRepository:
    """Starts, renews and ends runs, at the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def start(self, lease: Lease, process: str | None) -> None:
        """From now on the lease is held."""
        self._statements.change(
            START,
            {
                "session_id": lease.session_id,
                "attempt": lease.attempt,
                "worker": lease.worker,
                "process": process,
                "run_id": lease.run_id,
                "claimed_at": self._now,
                "lease_ms": lease.lease_ms,
                "lease_expires_at": self._end_of(lease),
                "ended_at": None,
                "outcome": None,
                "is_forgiven": False,
            },
        )

    def find(self, lease: Lease) -> RunState | None:
        """The run of that lease; None when its session is gone."""
        row = self._statements.first(GET_RUN, _key_of(lease))
        return None if row is None else _state(row)

    def latest(self, session_id: str) -> RunState | None:
        """The newest attempt; only that one can be open."""
        row = self._statements.first(GET_LATEST, {"id": session_id})
        return None if row is None else _state(row)

    def is_held(self, lease: Lease) -> bool:
        """Whether its run is still open. An expired lease is held until somebody else acts on that."""
        # Without a look at the other columns: every write of a run asks.
        return bool(self._statements.column(IS_HELD, _key_of(lease)))

    def list_open(self) -> list[RunState]:
        """Every run that has not ended; as many as there are sessions being worked on."""
        return [_state(row) for row in self._statements.rows(LIST_OPEN)]

    def renew(self, lease: Lease) -> bool:
        """Has the lease run from now; False when it is held no more."""
        return self._statements.change(RENEW, {**_key_of(lease), "until": self._end_of(lease)}) > 0

    def shorten(self, seen: Iterable[RunState]) -> None:
        """Has leases that reach further than they can end where they would if they were renewed now."""
        for run in seen:
            parameters = {**_key_of(run.lease), "until": self._end_of(run.lease), "seen": run.lease_expires_at}
            self._statements.change(SHORTEN, parameters)

    def end(self, session_id: str, outcome: RunOutcome) -> None:
        """Ends the open run of the session, if there is one."""
        self._statements.change(END, {"id": session_id, "now": self._now, "how": outcome.value})

    def count_crashes(self, session_id: str) -> int:
        """Attempts that crashed and are not forgiven."""
        return len(self._statements.column(LIST_CRASHES, {"id": session_id}))

    def forgive(self, session_id: str) -> None:
        """The session was put back by somebody, to be tried as often again."""
        self._statements.change(FORGIVE, {"id": session_id})

    def _end_of(self, lease: Lease) -> datetime:
        return self._now + timedelta(milliseconds=lease.lease_ms)


def _key_of(lease: Lease) -> dict[str, Any]:
    return {"id": lease.session_id, "number": lease.attempt, "run": lease.run_id}


def _state(row: Any) -> RunState:
    return RunState(
        Lease(row.session_id, row.attempt, row.worker, row.run_id, row.lease_ms),
        row.process,
        row.lease_expires_at,
        None if row.outcome is None else RunOutcome(row.outcome),
    )
