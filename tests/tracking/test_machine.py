"""Claims, writes, crashes, clocks and outsiders in any order, beside a plain model of who holds what."""

import gc
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from sessionstore import LeaseHeldError
from sessionstore.processes import this_process
from tests.concurrency import scene
from tests.dumps import query
from tests.tracking.machine import LEASE_SECONDS, NAMES, Beside
from tests.tracking.model import TERMINAL, ModelSession

# Of each kind: how it is asked for, and what it does to the session when the run holds it.
WRITES: dict[str, tuple[Callable[[Any, int], object], Callable[[ModelSession, int], object]]] = {
    "add_scene": (lambda run, number: run.add_scene(scene(number)), lambda held, number: held.scenes.add(number)),
    "update_progress": (lambda run, number: run.update_progress(number, 3, "half"), lambda held, _: None),
    "downloading": (lambda run, _: run.update_status("downloading"), lambda held, _: held.change("downloading")),
    "look": (lambda run, _: run.raise_if_cancelled(), lambda held, _: None),
    "complete": (lambda run, _: run.complete(), lambda held, _: held.change("completed")),
    "fail": (lambda run, _: run.fail("it would not"), lambda held, _: held.change("failed")),
    "release": (lambda run, _: run.release(), lambda held, _: held.change("pending")),
}
# Asked for again of a run that has ended so, they do nothing.
REPEATED = {"complete": "completed", "fail": "failed", "release": "released"}

names = st.sampled_from(NAMES)
managers = st.integers(0, 1)
workers = st.sampled_from(["w", "w", "v"])
numbers = st.integers(1, 3)


class Tracking(Beside):
    """Each rule is done by one of the managers, and by the model."""

    # Sessions

    @rule(who=managers, name=names)
    def create(self, who: int, name: str) -> None:
        self.make(who, name)

    @rule(who=managers, name=names)
    def remove(self, who: int, name: str) -> None:
        assert self.managers[who].remove_session(name) == (name in self.model.sessions)
        self.model.sessions.pop(name, None)
        self.seen.pop(name, None)

    @rule(who=managers, name=names, worker=workers)
    def start_over(self, who: int, name: str, worker: str) -> None:
        """An id is used again: attempts count from 1 again, and somebody may still have an attempt 1 of before."""
        self.remove(who, name)
        self.make(who, name)
        self.track(who, name, worker)

    @rule(who=managers, name=names)
    def cancel(self, who: int, name: str) -> None:
        session = self.model.sessions.get(name)
        expected = session is not None and session.status not in {"completed", "failed"}
        assert self.managers[who].cancel_session(name) == expected
        if session is not None and expected:
            session.change("cancelled")

    @rule(who=managers, name=names, again=st.sets(numbers, max_size=2))
    def retry(self, who: int, name: str, again: set[int]) -> None:
        session = self.model.sessions.get(name)
        expected = session is not None and session.status in (TERMINAL if again else {"failed", "cancelled"})
        assert self.managers[who].retry_session(name, sorted(again)) == expected
        if session is not None and expected:
            session.change("pending")
            session.scenes -= again
            self.may_leave.add(name)

    @rule(who=managers, name=names, status=st.sampled_from(["pending", "processing", "downloading", "completed"]))
    def change_from_outside(self, who: int, name: str, status: str) -> None:
        session = self.model.sessions.get(name)
        assert self.managers[who].update_session_status(name, status) == (session is not None)
        if session is not None:
            session.change(status)
            self.may_leave.add(name)

    # Claims

    @rule(who=managers, worker=workers)
    def claim(self, who: int, worker: str) -> None:
        self.tick()
        expected = self.model.oldest_pending()
        run = self.managers[who].claim_next_session(worker, lease_seconds=LEASE_SECONDS)
        assert (run and run.session_id) == expected
        if expected is not None:
            self.begin_run(expected, who, worker, run)

    @rule(who=managers, name=names, worker=workers)
    def track(self, who: int, name: str, worker: str) -> None:
        self.tick()
        refusal = self.refusal_of(name)
        if refusal is LeaseHeldError and self.model.recover(self.clock.now, only_dead=True):
            refusal = self.refusal_of(name)
        if refusal is not None:
            with pytest.raises(refusal):
                self.managers[who].track(name, worker, lease_seconds=LEASE_SECONDS)
        else:
            run = self.managers[who].track(name, worker, lease_seconds=LEASE_SECONDS)
            self.begin_run(name, who, worker, run)

    # What a run does, whether it still holds its session or not

    @rule(which=st.integers(0, 9), kind=st.sampled_from([*WRITES, "add_scene"]), number=numbers)
    def write(self, which: int, kind: str, number: int) -> None:
        ask_for, effect = WRITES[kind]
        if (run := self.one_of(which)) is not None:
            self.attempt(
                run, lambda: ask_for(run.handle, number), lambda held: effect(held, number), REPEATED.get(kind)
            )

    @rule(which=st.integers(0, 9))
    def renew(self, which: int) -> None:
        if (run := self.one_of(which)) is not None and run.handle is not None:
            self.attempt(run, run.handle.heartbeat, lambda held: self.renewed(run))

    @rule(which=st.integers(0, 9), number=numbers, fails=st.booleans())
    def leave_block(self, which: int, number: int, fails: bool) -> None:
        """A whole `with run:` block with one write in it, and perhaps an error."""
        if (run := self.one_of(which)) is None or run.handle is None:
            return

        def work() -> None:
            assert run.handle is not None
            with run.handle:
                run.handle.add_scene(scene(number))
                if fails:
                    raise LookupError("it would not")

        def effect(held: ModelSession) -> None:
            held.scenes.add(number)
            held.change("failed" if fails else "completed")

        if fails and self.model.is_held(run):
            with pytest.raises(LookupError):
                work()
            effect(self.model.sessions[run.session_id])
        else:
            self.attempt(run, work, effect)

    # What happens to workers and clocks

    @rule(who=managers, seconds=st.sampled_from([0, 20, 20]))
    def beat(self, who: int, seconds: int) -> None:
        """One tick of a process's heartbeats, when a renewal is due."""
        self.clock.advance(seconds=seconds)
        heartbeats = self.managers[who]._store.heartbeats
        heartbeats._due_at = 0.0
        heartbeats.renew_due()
        for run in self.model.open_runs():
            if run.renewed_by == who and run.handle is not None:
                self.renewed(run)

    @rule(which=st.integers(0, 9))
    def drop(self, which: int) -> None:
        """Its worker loses it: nobody renews it any more."""
        if (run := self.one_of(which)) is not None:
            run.handle = None
            gc.collect()

    @rule(which=st.integers(0, 9))
    def crash(self, which: int) -> None:
        """Its process dies: another one has that number now. (What is left of it may still try to write.)"""
        if (run := self.one_of(which)) is not None and self.model.is_held(run):
            run.is_alive = False
            query(
                self.database, "UPDATE runs SET process = ? WHERE session_id = ? AND attempt = ?",
                f"{this_process()}0", run.session_id, run.attempt,
            )  # fmt: skip

    @rule(who=managers, worker=workers)
    def die_at_once(self, who: int, worker: str) -> None:
        """A session that kills whoever begins it."""
        self.claim(who, worker)
        self.crash(0)
        self.recover(1 - who)

    @rule(seconds=st.sampled_from([1, 30, 61, 61, 3600, -3600]))
    def move_the_clock(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule(who=managers)
    def recover(self, who: int) -> None:
        assert self.managers[who].recover_interrupted_sessions() == self.model.recover(self.clock.now)


# Hypothesis takes up to five minutes to shorten what fails.
@pytest.mark.timeout(400)
def test_whatever_workers_clocks_and_outsiders_do_each_session_has_one_holder_and_no_stale_write_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Leases are renewed when a rule says so, nobody waits for a renewal, and no slow disk passes for an outage.
    monkeypatch.setattr("sessionstore.operations.heartbeats.TICK_SECONDS", 3600.0)
    monkeypatch.setattr("sessionstore.operations.interrupted.CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr("sessionstore.operations.interrupted.OUTAGE_SECONDS", 3600.0)
    run_state_machine_as_test(
        Tracking,
        settings=settings(
            max_examples=45,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
