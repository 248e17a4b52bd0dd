"""What the store should do about runs, as plain dicts and lists: the judge of the state machine."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sessionstore import GenerationRun

ACTIVE = {"processing", "downloading"}
TERMINAL = {"completed", "failed", "cancelled"}
ENDS_RUN_AS = {"pending": "released", "completed": "completed", "failed": "failed", "cancelled": "cancelled"}


@dataclass(eq=False)
class ModelRun:
    """One attempt, and the object that its worker has of it; None once dropped."""

    session_id: str
    attempt: int
    worker: str
    lease: timedelta
    expires_at: datetime
    renewed_by: int
    handle: GenerationRun[Any, Any] | None
    is_alive: bool = True
    outcome: str | None = None
    is_forgiven: bool = False


@dataclass
class ModelSession:
    """One session, and all its attempts in order."""

    created_at: datetime
    status: str = "pending"
    scenes: set[int] = field(default_factory=set)
    runs: list[ModelRun] = field(default_factory=list)

    @property
    def open_run(self) -> ModelRun | None:
        """Who holds it."""
        return self.runs[-1] if self.runs and self.runs[-1].outcome is None else None

    def unforgiven_crashes(self) -> int:
        """Since it was last put back from a terminal status."""
        return sum(run.outcome == "crashed" and not run.is_forgiven for run in self.runs)

    def change(self, status: str) -> None:
        """A change of status, whoever makes it; it ends the open run, unless the new one is active."""
        if self.status in TERMINAL and status not in TERMINAL:
            for run in self.runs:
                run.is_forgiven = True
        self.status = status
        if self.open_run is not None and status in ENDS_RUN_AS:
            self.open_run.outcome = ENDS_RUN_AS[status]


class Model:
    """All sessions."""

    def __init__(self, max_attempts: int) -> None:
        self.max_attempts = max_attempts
        self.sessions: dict[str, ModelSession] = {}
        # Of sessions that are gone, too.
        self.runs: list[ModelRun] = []

    def oldest_pending(self) -> str | None:
        """The one that is claimed next."""
        pending = [(each.created_at, name) for name, each in self.sessions.items() if each.status == "pending"]
        return min(pending)[1] if pending else None

    def start(self, session_id: str, run: ModelRun) -> None:
        """It is claimed."""
        self.sessions[session_id].runs.append(run)
        self.sessions[session_id].status = "processing"
        self.runs.append(run)

    def open_runs(self) -> list[ModelRun]:
        return [run for each in self.sessions.values() if (run := each.open_run) is not None]

    def is_held(self, run: ModelRun) -> bool:
        return run in self.open_runs()

    def recover(self, now: datetime, *, only_dead: bool = False) -> int:
        """Ends what nobody carries on; cuts leases that reach further than they can."""
        recovered = 0
        for run in self.open_runs():
            is_over = run.expires_at <= now and not only_dead
            run.expires_at = min(run.expires_at, now + run.lease)
            if is_over or not run.is_alive:
                self._crash(self.sessions[run.session_id], run)
                recovered += 1
        return recovered

    def _crash(self, session: ModelSession, run: ModelRun) -> None:
        run.outcome = "crashed"
        session.change("pending" if session.unforgiven_crashes() < self.max_attempts else "failed")
