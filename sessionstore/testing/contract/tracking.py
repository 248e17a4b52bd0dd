"""Claims: each session goes to exactly one worker, oldest first; and the words that tests of runs are written in."""

import gc
import time
import weakref
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from sessionstore.errors import LeaseHeldError, SessionCorruptedError, SessionFinishedError, SessionNotFoundError
from sessionstore.models import GenerationStatus
from sessionstore.operations import interrupted
from sessionstore.operations.run import GenerationRun
from sessionstore.persistence.tables import Base, EventRow, RunRow, SessionRow
from sessionstore.testing import ManualClock
from sessionstore.testing.contract.group import (
    PATIENCE_SECONDS,
    ContractGroup,
    Execute,
    Manager,
    OpenManager,
    a_request,
    a_scene,
    at_once,
    create_in_status,
    saved,
    scene_numbers,
)

Run = GenerationRun[Any, Any]

# Not so long after a claim that a lease of 60 seconds is due to be renewed.
A_MOMENT = {"seconds": 1}


def claim(manager: Manager, worker: str = "gpu-1", **arguments: Any) -> Run:
    """A run of the oldest pending session, which must be there."""
    run = manager.claim_next_session(worker, **arguments)
    assert run is not None
    return run


def begin(manager: Manager, worker: str = "gpu-1", **request: Any) -> Run:
    """A run of a new session."""
    return manager.track(manager.create_session(a_request(**request)), worker)


def die(manager: Manager, worker: str = "gpu-1", **arguments: Any) -> str:
    """Claims the oldest pending session and forgets the run, as a worker does that dies; the session's id."""
    run = claim(manager, worker, **arguments)
    session_id, trace = run.session_id, weakref.ref(run)
    del run
    deadline = time.monotonic() + PATIENCE_SECONDS
    while trace() is not None:  # The thread that renews leases may hold it for a moment.
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.001)
    return session_id


def expire_lease(execute: Execute, now: datetime) -> None:
    """Has all leases run out although their runs are there, as if the process had slept."""
    execute(update(RunRow).where(RunRow.ended_at.is_(None)).values(lease_expires_at=now - timedelta(seconds=1)))


def everything(execute: Execute) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, to be compared."""
    tables = Base.metadata.sorted_tables
    return {table.name: sorted((tuple(row) for row in execute(select(table))), key=repr) for table in tables}


class TrackingGroup(ContractGroup):
    """Fixtures for tests of runs."""

    @pytest.fixture
    def alone(self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch) -> Manager:
        """A manager that looks for interrupted sessions only when it is told to, and then trusts what it sees."""
        monkeypatch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
        monkeypatch.setattr(interrupted, "OUTAGE_SECONDS", PATIENCE_SECONDS)
        return open_manager(recovery_interval=None)


class TrackingContract(TrackingGroup):
    """`claim_next_session` and `track`."""

    def test_sessions_are_claimed_oldest_first(self, manager: Manager, clock: ManualClock) -> None:
        made = []
        for _ in range(3):
            made.append(manager.create_session(a_request()))
            clock.advance(**A_MOMENT)

        runs = [claim(manager) for _ in range(3)]

        assert [run.session_id for run in runs] == made

    def test_there_is_nothing_to_claim_in_a_store_without_pending_sessions(self, manager: Manager) -> None:
        assert manager.claim_next_session("gpu-1") is None
        for status in list(GenerationStatus)[1:]:
            create_in_status(manager, status)

        assert manager.claim_next_session("gpu-1") is None

    def test_each_session_goes_to_exactly_one_of_many_threads(self, open_manager: OpenManager) -> None:
        managers = [open_manager(), open_manager()]
        made = [managers[0].create_session(a_request()) for _ in range(40)]

        def work(manager: Manager, worker: str) -> list[Run]:
            runs = []
            while (run := manager.claim_next_session(worker)) is not None:
                runs.append(run)
            return runs

        claimed = at_once(*(lambda n=n: work(managers[n % 2], f"gpu-{n}") for n in range(8)))

        assert sorted(run.session_id for runs in claimed for run in runs) == sorted(made)
        assert {run.attempt for runs in claimed for run in runs} == {1}

    def test_one_session_is_tracked_by_exactly_one_of_many_threads(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request())

        def work(worker: str) -> str | None:
            try:
                return manager.track(session_id, worker).worker
            except LeaseHeldError as error:
                return f"held by {error.holder}"

        answers = at_once(*(lambda n=n: work(f"gpu-{n}") for n in range(8)))

        (winner,) = [answer for answer in answers if not answer.startswith("held")]
        assert sorted(answers) == sorted([winner, *[f"held by {winner}"] * 7])

    def test_a_claimed_session_is_processing_and_one_attempt_further(
        self, manager: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        session_id = manager.create_session(a_request())
        clock.advance(seconds=2.5)

        run = claim(manager, "gpu-1")

        session = saved(manager, session_id)
        assert (session.status, session.attempt, session.started_at) == (GenerationStatus.PROCESSING, 1, clock.now)
        assert (run.session_id, run.attempt, run.worker) == (session_id, 1, "gpu-1")
        assert execute(select(SessionRow.queue_ms)) == [(2500,)]
        events = execute(select(EventRow.event_type, EventRow.status, EventRow.attempt).order_by(EventRow.event_id))
        assert events == [("created", "pending", 0), ("status_changed", "processing", 1)]

    def test_the_attempt_grows_with_each_claim_and_the_first_start_stays(
        self, manager: Manager, clock: ManualClock, execute: Execute
    ) -> None:
        session_id, started_at = manager.create_session(a_request()), clock.now
        attempts = []
        for _ in range(3):
            run = claim(manager)
            attempts.append(run.attempt)
            clock.advance(**A_MOMENT)
            run.release()

        assert attempts == [1, 2, 3]
        assert saved(manager, session_id).started_at == started_at
        assert execute(select(RunRow.attempt, RunRow.outcome)) == [(n, "released") for n in (1, 2, 3)]

    def test_a_run_knows_its_session_as_it_was_claimed(self, manager: Manager) -> None:
        session_id = manager.create_session(a_request(num_scenes=2), metadata={"user": "u-17"})
        manager.add_scene_to_session(session_id, a_scene(1))

        run = claim(manager)

        assert (run.session.metadata, run.session.scenes) == ({"user": "u-17"}, [a_scene(1)])
        assert (run.session.status, run.session.attempt) == (GenerationStatus.PROCESSING, 1)
        assert "gpu-1" in repr(run)
        assert session_id in repr(run)

    @pytest.mark.parametrize("status", ["pending", "processing", "downloading"])
    def test_a_session_under_no_lease_can_be_tracked_while_it_is_unfinished(
        self, manager: Manager, status: str
    ) -> None:
        session_id = create_in_status(manager, status)

        assert manager.track(session_id, "gpu-1").attempt == 1

        assert saved(manager, session_id).status is GenerationStatus.PROCESSING

    @pytest.mark.parametrize("worker", ["gpu-1", "gpu-2"])
    def test_a_session_that_is_held_is_refused_naming_its_holder_to_everybody(
        self, manager: Manager, execute: Execute, worker: str
    ) -> None:
        run = begin(manager, "gpu-1")
        before = everything(execute)

        with pytest.raises(LeaseHeldError, match="attempt 1 of worker 'gpu-1'") as caught:
            manager.track(run.session_id, worker)

        assert (caught.value.session_id, caught.value.holder) == (run.session_id, "gpu-1")
        assert everything(execute) == before

    def test_a_session_whose_lease_has_expired_is_held_until_somebody_has_looked(
        self, alone: Manager, execute: Execute, clock: ManualClock
    ) -> None:
        run = begin(alone)
        expire_lease(execute, clock.now)

        with pytest.raises(LeaseHeldError):
            alone.track(run.session_id, "gpu-2")
        assert alone.claim_next_session("gpu-2") is None

        run.add_scene(a_scene(1))
        assert scene_numbers(alone, run.session_id) == [1]

    def test_an_absent_session_cannot_be_tracked(self, manager: Manager) -> None:
        with pytest.raises(SessionNotFoundError, match="find_tombstone") as caught:
            manager.track("nobody", "gpu-1")

        assert caught.value.session_id == "nobody"

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    def test_a_finished_session_cannot_be_tracked(self, manager: Manager, execute: Execute, status: str) -> None:
        session_id = create_in_status(manager, status)
        before = everything(execute)

        with pytest.raises(SessionFinishedError, match=f"{status}; retry_session") as caught:
            manager.track(session_id, "gpu-1")

        assert caught.value.session_id == session_id
        assert everything(execute) == before

    def test_a_session_that_cannot_be_read_is_passed_over_and_left_to_who_can(
        self, manager: Manager, clock: ManualClock, execute: Execute, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = manager.create_session(a_request())
        clock.advance(**A_MOMENT)
        sound, later = manager.create_session(a_request()), manager.create_session(a_request())
        execute(update(SessionRow).where(SessionRow.session_id == broken).values(request_data="{}"))

        assert {claim(manager).session_id, claim(manager).session_id} == {sound, later}

        assert manager.claim_next_session("gpu-1") is None
        state = select(SessionRow.status, SessionRow.attempt).where(SessionRow.session_id == broken)
        assert execute(state) == [("pending", 0)]
        assert caplog.text.count("passes over a session") == 1

    def test_a_session_that_was_mended_is_not_passed_over_any_more(self, manager: Manager, execute: Execute) -> None:
        broken = manager.create_session(a_request())
        sound = execute(select(SessionRow.request_data))[0][0]
        execute(update(SessionRow).values(request_data="{}"))
        assert manager.claim_next_session("gpu-1") is None

        execute(update(SessionRow).values(request_data=sound, version=SessionRow.version + 1, state_checksum=None))

        assert claim(manager).session_id == broken

    def test_a_store_of_nothing_but_corrupted_sessions_has_nothing_to_claim(
        self, manager: Manager, execute: Execute
    ) -> None:
        manager.reconfigure(max_sessions=150)
        for _ in range(150):
            manager.create_session(a_request())
        execute(update(SessionRow).values(request_data="{}"))

        assert manager.claim_next_session("gpu-1") is None

        assert {status for (status,) in execute(select(SessionRow.status))} == {"pending"}

    def test_tracking_a_corrupted_session_says_so_and_changes_nothing(self, manager: Manager, execute: Execute) -> None:
        session_id = manager.create_session(a_request())
        execute(update(SessionRow).values(request_data="{}"))
        before = everything(execute)

        with pytest.raises(SessionCorruptedError, match=session_id):
            manager.track(session_id, "gpu-1")

        assert everything(execute) == before

    def test_a_claim_that_is_undone_leaves_the_session_to_others(self, manager: Manager, execute: Execute) -> None:
        session_id = manager.create_session(a_request())

        def work() -> None:
            with manager.transaction():
                claim(manager)
                raise LookupError

        with pytest.raises(LookupError):
            work()

        run = claim(manager)
        assert (run.session_id, run.attempt) == (session_id, 1)
