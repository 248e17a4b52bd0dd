"""The frame of the state machine: two managers and a model of them, and what must hold after each step."""

import sqlite3
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from sessionstore import (
    LeaseHeldError,
    LeaseLostError,
    SessionCancelledError,
    SessionFinishedError,
    SessionManager,
    SessionNotFoundError,
)
from sessionstore.testing import ManualClock
from tests.concurrency import manager_on, request
from tests.dumps import dump
from tests.tracking.model import ACTIVE, TERMINAL, Model, ModelRun, ModelSession

LEASE_SECONDS = 60
NAMES = ("a", "b", "c")


class Beside(RuleBasedStateMachine):
    """Two managers on one file, as of two processes, whose heartbeats beat only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="sessionstore-tracking-")
        self.database = Path(self.folder.name) / "sessions.db"
        self.clock = ManualClock()
        self.model = Model(max_attempts=2)
        self.managers: list[SessionManager] = []
        self.seen: dict[str, tuple[int, str]] = {}
        self.may_leave: set[str] = set()

    @initialize()
    def begin(self) -> None:
        options: dict[str, Any] = {
            "clock": self.clock,
            "recovery_interval": None,
            "max_attempts": 2,
            "durability": "normal",
        }
        self.managers = [manager_on(self.database, **options) for _ in range(2)]
        self.eyes = sqlite3.connect(self.database, isolation_level=None)
        for name in NAMES[:2]:
            self.make(0, name)

    def teardown(self) -> None:
        if self.managers:
            self.eyes.close()
        for manager in self.managers:
            assert manager.shutdown(timeout=10)
        self.folder.cleanup()

    def make(self, who: int, name: str) -> None:
        """A pending session; the one that is there, when there is one."""
        self.tick()
        self.managers[who].create_session(request(), session_id=name)
        self.model.sessions.setdefault(name, ModelSession(self.clock.now))

    def refusal_of(self, name: str) -> type[Exception] | None:
        session = self.model.sessions.get(name)
        if session is None:
            return SessionNotFoundError
        if session.status in TERMINAL:
            return SessionFinishedError
        return None if session.open_run is None else LeaseHeldError

    def begin_run(self, name: str, who: int, worker: str, handle: Any) -> None:
        lease = timedelta(seconds=LEASE_SECONDS)
        attempt = len(self.model.sessions[name].runs) + 1
        assert (handle.attempt, handle.worker, handle.session.attempt) == (attempt, worker, attempt)
        run = ModelRun(name, attempt, worker, lease, self.clock.now + lease, who, handle)
        self.model.start(name, run)

    def renewed(self, run: ModelRun) -> None:
        run.expires_at = self.clock.now + run.lease

    def one_of(self, which: int) -> ModelRun | None:
        """A run that somebody still has an object of, one of the newest ten."""
        there = [run for run in reversed(self.model.runs) if run.handle is not None]
        return there[which % len(there)] if there else None

    def attempt(
        self,
        run: ModelRun,
        act: Callable[[], object],
        effect: Callable[[ModelSession], object],
        repeats: str | None = None,
    ) -> None:
        """Who holds the session succeeds. Who does not changes nothing at all, and hears why."""
        if self.model.is_held(run):
            act()
            effect(self.model.sessions[run.session_id])
            return
        before = dump(self.database)
        if run.outcome is not None and run.outcome == repeats and self.is_there(run):
            act()
        else:
            is_cancelled = run.outcome == "cancelled" and self.is_there(run)
            with pytest.raises(SessionCancelledError if is_cancelled else LeaseLostError) as lost:
                act()
            self.check_reason(run, lost.value)
        assert dump(self.database) == before

    def is_there(self, run: ModelRun) -> bool:
        session = self.model.sessions.get(run.session_id)
        return session is not None and run in session.runs

    def check_reason(self, run: ModelRun, lost: LeaseLostError) -> None:
        session = self.model.sessions.get(run.session_id)
        assert lost.session_id == run.session_id
        if session is not None and run in session.runs and session.runs[-1] is not run and run.outcome != "cancelled":
            newest = session.runs[-1]
            assert lost.holder == newest.worker
            assert f"attempt {newest.attempt} of worker {newest.worker!r}" in str(lost)

    def tick(self) -> None:
        """No two sessions or claims in one instant, however often the clock is set back by an hour."""
        self.clock.advance(milliseconds=1)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return self.eyes.execute(statement).fetchall()

    # What must hold after each of them

    @invariant()
    def the_database_holds_what_the_model_does(self) -> None:
        if not self.managers:
            return
        sessions = self.ask("SELECT session_id, status, attempt FROM sessions ORDER BY 1")
        assert sessions == [(name, each.status, len(each.runs)) for name, each in sorted(self.model.sessions.items())]
        scenes = self.ask("SELECT session_id, scene_number FROM scenes ORDER BY 1, 2")
        assert scenes == [(n, s) for n, each in sorted(self.model.sessions.items()) for s in sorted(each.scenes)]
        runs = self.ask(
            "SELECT session_id, attempt, worker, outcome, iif(outcome IS NULL, lease_expires_at, '') FROM runs "
            "ORDER BY 1, 2",
        )
        assert runs == [
            (name, run.attempt, run.worker, run.outcome, "" if run.outcome else f"{run.expires_at:%F %T.%f}"[:-3])
            for name, each in sorted(self.model.sessions.items())
            for run in each.runs
        ]

    @invariant()
    def nobody_shares_and_what_is_finished_stays(self) -> None:
        """Said once more without the model."""
        if not self.managers:
            return
        shared = "SELECT session_id FROM runs WHERE outcome IS NULL GROUP BY 1 HAVING count(*) > 1"
        assert self.ask(shared) == []
        held = "SELECT status FROM sessions JOIN runs USING (session_id) WHERE outcome IS NULL"
        assert {status for (status,) in self.ask(held)} <= ACTIVE
        for name, status, attempt in self.ask("SELECT session_id, status, attempt FROM sessions"):
            before, was = self.seen.get(name, (0, "pending"))
            assert attempt >= before
            assert was not in TERMINAL or status == was or name in self.may_leave
            self.seen[name] = (attempt, status)
        self.may_leave.clear()
