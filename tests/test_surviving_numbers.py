"""Numbers that survive: whatever is cleaned up, summed up, pruned or reopened, the reports say what happened.

A machine does things at random to a store, and tells plain books of each. After every step the store reports what the
books have; and what only tidies up must not change a row, but say who is gone.
"""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import BaseModel

from sessionstore import Cost, GenerationStatus, Provider, ScenePrompt, SessionManager
from sessionstore.errors import CallHeldError, CallNotSentError, JobFailedError, SessionCapacityError
from sessionstore.operations import interrupted
from sessionstore.operations.retention import prune_history
from sessionstore.testing import ManualClock, wait_for_cleanup
from tests.books import FINISHED, Books, Rows

VIEWS = ("sessions", "hourly", "daily", "failures", "scenes", "status_durations", "departures", "costs")
# What tombstones still have, and no more when those are pruned.
OF_EACH_SESSION = ("sessions", "failures")
EVENT_RETENTION_DAYS, TOMBSTONE_RETENTION_DAYS = 0.2, 0.5

# Few, so that hours, days and messages meet again; a living session far more often than one that is not there.
present_id = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.books.living) or ["a"]))
any_id = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
media_types = st.sampled_from([None, "cartoon"])
statuses = st.sampled_from([str(status) for status in GenerationStatus])
messages = st.sampled_from([None, "no paint", "no power"])
numbers = st.integers(1, 3)

AUDIT = """
    SELECT day, sum(there_were) FROM (
        SELECT date(created_at) AS day, count(*) AS there_were FROM sessions GROUP BY 1
        UNION ALL SELECT date(created_at), count(*) FROM session_tombstones GROUP BY 1
        UNION ALL SELECT date(day_at), sum(session_count) FROM session_totals GROUP BY 1
    ) GROUP BY day
"""
CREATED = "SELECT day, sum(created_count) FROM report_daily GROUP BY day HAVING sum(created_count) > 0"
# Of each session, or of those that are only totals any more.
SUMS_OF_SESSIONS = """
    SELECT count(*), sum(scene_count), sum(attempt_count), count(queue_ms), sum(coalesce(queue_ms, 0)),
           count(generation_ms), sum(coalesce(generation_ms, 0)) FROM report_sessions
"""
SUMS_OF_TOTALS = """
    SELECT sum(session_count), sum(scene_count), sum(attempt_count), sum(started_count), sum(queue_ms),
           sum(generated_count), sum(generation_ms) FROM session_totals
"""


class Order(BaseModel):
    """A request that need not say its media type."""

    media_type: str | None = None


def scene(number: int) -> ScenePrompt:
    return ScenePrompt(scene_number=number, title="t", description="d", image_prompt="p")


def studio(state: str, price: tuple[int, str]) -> Provider:
    """A provider whose next call ends up in that state."""

    def submit(request: Any) -> str:
        if state == "held":
            raise TimeoutError("no answer")
        if state == "not_sent":
            raise CallNotSentError("quota")
        return "job-1"

    def fetch(job_id: str) -> dict[str, str]:
        if state == "failed":
            raise JobFailedError("out of film")
        return {"url": "https://studio.example/1.png"}

    return Provider(name="studio", submit=submit, fetch=fetch, cost=lambda request, result: Cost(*price))


class StoreBesideBooks(RuleBasedStateMachine):
    """Every rule does a thing to the store and tells the books."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="sessionstore-numbers-")
        # Seconds before a midnight.
        self.clock = ManualClock(datetime(2026, 2, 28, 23, 59, 50, tzinfo=UTC))
        self.books = Books()

    @initialize(max_sessions=st.integers(3, 6))
    def begin(self, max_sessions: int) -> None:
        self.max_sessions = max_sessions
        self.open()
        path = Path(self.folder.name) / "sessions.db"
        self.analyst = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        for session_id in ("a", "b"):
            self.create(session_id, "cartoon")

    def open(self) -> None:
        self.manager: SessionManager[Order, ScenePrompt] = SessionManager(
            self.max_sessions,
            None,
            database_url=f"sqlite:///{Path(self.folder.name) / 'sessions.db'}",
            clock=self.clock,
            request_model=Order,
            durability="normal",
            recovery_interval=None,
            summary_interval=None,
            touch_interval=3600,
            max_attempts=1000,
            event_retention_days=EVENT_RETENTION_DAYS,
            tombstone_retention_days=TOMBSTONE_RETENTION_DAYS,
        )

    def teardown(self) -> None:
        if hasattr(self, "analyst"):
            self.analyst.close()
        if hasattr(self, "manager"):
            assert self.manager.shutdown(timeout=10)
        self.folder.cleanup()

    def reports(self, *but: str) -> dict[str, Rows]:
        return {name: self.report(name) for name in VIEWS if name not in but}

    def report(self, name: str) -> Rows:
        rows = self.manager.report(name).rows
        # Two lives of one id that began in the same millisecond have no order.
        return sorted(rows, key=repr) if name == "sessions" else rows

    def figures(self) -> dict[str, Rows]:
        """All that a cleanup must not change: everything but who is gone."""
        reports = self.reports("departures")
        return reports | {"sessions": [row[:-2] for row in reports["sessions"]]}

    def notice_departures(self) -> int:
        """Tells the books who is gone; how many."""
        there = {info["session_id"] for info in self.manager.get_all_sessions_info()}
        gone = sorted(self.books.living.keys() - there)
        for session_id in gone:
            tombstone = self.manager.find_tombstone(session_id)
            assert tombstone is not None
            self.books.go(session_id, tombstone.reason, self.clock.now)
        return len(gone)

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        before = self.reports()
        yield
        assert self.reports() == before

    def sums(self) -> list[int]:
        """Of all sessions that there ever were, however little is left of them."""
        rows = (self.analyst.execute(statement).fetchone() for statement in (SUMS_OF_SESSIONS, SUMS_OF_TOTALS))
        return [sum(each or 0 for each in pair) for pair in zip(*rows, strict=True)]

    # What happens

    @rule(session_id=any_id, media_type=media_types)
    def create(self, session_id: str, media_type: str | None) -> None:
        if session_id in self.books.living:
            return
        try:
            self.manager.create_session(Order(media_type=media_type), session_id=session_id)
        except SessionCapacityError:
            return
        self.notice_departures()
        self.books.create(session_id, media_type, self.clock.now)

    @rule(session_id=present_id, status=statuses, message=messages, expected=st.none() | statuses)
    def update_status(self, session_id: str, status: str, message: str | None, expected: str | None) -> None:
        if self.manager.update_session_status(session_id, status, message, expected_status=expected):
            self.books.set_status(session_id, status, self.clock.now, message)

    @rule(session_id=present_id, number=numbers)
    def add_scene(self, session_id: str, number: int) -> None:
        if self.manager.add_scene_to_session(session_id, scene(number)):
            self.books.add_scene(session_id, number, self.clock.now)

    @rule(session_id=present_id, given_numbers=st.lists(numbers, unique=True))
    def set_scenes(self, session_id: str, given_numbers: list[int]) -> None:
        if self.manager.set_session_scenes(session_id, [scene(number) for number in given_numbers]):
            self.books.set_scenes(session_id, given_numbers, self.clock.now)

    @rule(session_id=present_id, media_type=media_types, status=statuses)
    def change_several_parts(self, session_id: str, media_type: str | None, status: str) -> None:
        updates = {"request_data": Order(media_type=media_type), "status": status, "scenes": [scene(1)]}
        if self.manager.atomic_session_update(session_id, updates):
            self.books.set_media_type(session_id, media_type)
            self.books.set_status(session_id, status, self.clock.now)
            self.books.set_scenes(session_id, [1], self.clock.now)

    @rule(session_id=present_id)
    def retry(self, session_id: str) -> None:
        if self.manager.retry_session(session_id):
            self.books.set_status(session_id, "pending", self.clock.now)

    def may_be_claimed(self, session_id: str) -> bool:
        return session_id in self.books.living and self.books.living[session_id].status not in FINISHED

    @rule(session_id=present_id)
    def crash(self, session_id: str) -> None:
        if not self.may_be_claimed(session_id):
            return
        run = self.manager.track(session_id, "gpu-1", lease_seconds=60)
        self.manager._store.heartbeats.drop(run)
        self.books.claim(session_id, self.clock.now)
        self.clock.advance(seconds=61)
        assert self.manager.recover_interrupted_sessions() == 1
        self.books.recover(session_id, self.clock.now)

    @rule(
        session_id=present_id,
        number=st.integers(1, 2),
        state=st.sampled_from(["fetched", "fetched", "held", "failed", "not_sent"]),
        price=st.sampled_from([(40_000, "USD"), (25_000, "EUR"), (0, "USD")]),
        saves=st.booleans(),
    )
    def buy(self, session_id: str, number: int, state: str, price: tuple[int, str], saves: bool) -> None:
        if not self.may_be_claimed(session_id):
            return
        run = self.manager.track(session_id, "gpu-1")
        self.books.claim(session_id, self.clock.now)
        is_new = not self.books.has_open_call(session_id, number)
        try:
            run.call(studio(state, price), number, {"prompt": "a lamp"})
        except (CallHeldError, CallNotSentError, JobFailedError):
            saves = False
        if is_new:
            self.books.buy(session_id, number, state, price, self.clock.now)
        if saves:
            run.add_scene(scene(number))
            self.books.add_scene(session_id, number, self.clock.now)
            self.books.store_call(session_id, number)
        run.release()
        self.books.set_status(session_id, "pending", self.clock.now)

    @rule(session_id=present_id)
    def undo(self, session_id: str) -> None:
        """A transaction that fails after a lot was done in it."""

        def work() -> None:
            with self.manager.transaction():
                self.manager.add_scene_to_session(session_id, scene(1))
                self.manager.update_session_status(session_id, "completed")
                self.manager.remove_session(session_id)
                self.manager.create_session(Order(), session_id=session_id)
                raise LookupError

        with self.nothing_changes(), pytest.raises(LookupError):
            work()

    @rule(seconds=st.sampled_from([0.001, 0.999, 9.999, 10, 600, 3599.5, 3600, 7 * 3600, 25 * 3600, -600]))
    def advance_the_clock(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    # What only tidies up

    @rule(
        verb=st.sampled_from(["expired", "expired at once", "failed", "completed", "all", "capacity"]),
        max_sessions=st.integers(2, 6),
    )
    def clean_up(self, verb: str, max_sessions: int) -> None:
        before = self.figures()
        clean_ups: dict[str, Callable[[], object]] = {
            "expired": self.manager.cleanup_expired_sessions,
            "expired at once": lambda: self.manager.cleanup_expired_sessions(0),
            "failed": self.manager.cleanup_failed_sessions,
            "completed": lambda: self.manager.cleanup_completed_sessions(0),
            "all": self.manager.force_cleanup_all,
            "capacity": lambda: self.lower_capacity(max_sessions),
        }
        answer = clean_ups[verb]()
        gone = self.notice_departures()
        assert answer in (None, gone)
        assert self.figures() == before

    def lower_capacity(self, max_sessions: int) -> None:
        self.max_sessions = max_sessions
        self.manager.reconfigure(max_sessions=max_sessions)

    @rule(session_id=present_id)
    def remove(self, session_id: str) -> None:
        before = self.figures()
        assert self.manager.remove_session(session_id) == bool(self.notice_departures())
        assert self.figures() == before

    @rule(count=st.integers(1, 12))
    def sum_events_up(self, count: int) -> None:
        with self.nothing_changes():
            summed_up = self.manager._store.engine.write(lambda unit: unit.totals.sum_up(count))
            assert summed_up <= count

    @rule()
    def prune(self) -> None:
        before, sums = self.reports(*OF_EACH_SESSION), self.sums()
        prune_history(self.manager._store)
        self.forget()
        assert self.reports(*OF_EACH_SESSION) == before
        assert self.sums() == sums

    @rule()
    def pass_of_the_maintenance(self) -> None:
        """Expires, sums up, prunes and gives space back."""
        before, sums = self.reports(*OF_EACH_SESSION, "departures"), self.sums()
        assert wait_for_cleanup(self.manager)
        self.notice_departures()
        self.forget()
        assert self.reports(*OF_EACH_SESSION, "departures") == before
        assert self.sums() == sums

    def forget(self) -> None:
        self.books.forget_gone(self.clock.now - timedelta(days=TOMBSTONE_RETENTION_DAYS))

    @rule()
    def close_and_reopen(self) -> None:
        before = self.reports()
        assert self.manager.shutdown(timeout=10)
        self.open()
        assert self.reports() == before

    # What must hold after each of them

    @invariant()
    def the_reports_say_what_the_books_say(self) -> None:
        for name, rows in self.books.reports().items():
            assert self.report(name) == rows, name

    @invariant()
    def every_session_is_living_or_buried_or_in_the_totals(self) -> None:
        expected = Counter({date.isoformat(day): count for day, count in self.books.created_on.items()})
        assert Counter(dict(self.analyst.execute(AUDIT).fetchall())) == expected
        assert Counter(dict(self.analyst.execute(CREATED).fetchall())) == expected


@pytest.mark.timeout(600)  # It may take minutes to find the shortest way to a failure.
def test_whatever_is_tidied_up_the_reports_say_what_happened(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(interrupted, "CONFIRM_SECONDS", 0.0)
    run_state_machine_as_test(
        StoreBesideBooks,
        settings=settings(
            max_examples=300 if pytestconfig.getoption("--long") else 10,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
