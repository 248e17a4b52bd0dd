"""What must cost the same in a large store as in a small one, counted in SQLite's own steps instead of seconds."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from sessionstore import GenerationRun, GenerationStatus, SessionManager
from sessionstore.operations import summaries
from sessionstore.operations.retention import prune_history
from sessionstore.testing import ManualClock
from tests.concurrency import ask, engine_of, request, scene
from tests.conftest import OpenManager

SMALL, LARGE = 60, 6000
# A deeper tree costs some steps more; one that is read through costs a hundred times as many.
TOLERANCE = 1.5
# SQLite reports every so many steps of its virtual machine.
STEPS_A_REPORT = 10

# Ages are summed up from the minutes of one day, however many sessions these stand for.
BOUNDED = {"get_performance_stats": 3 * 1440 * 6}

STATUSES = list(GenerationStatus)


def fill(manager: SessionManager, clock: ManualClock, count: int) -> None:
    """Sessions of every status, created over the last thirty hours, one in three of them quiet for long."""
    end = clock.now
    for number in range(count):
        clock.now = end - timedelta(hours=30) * (count - number) / count
        manager.create_session(request(), session_id=f"s{number:06}")
    clock.now = end - timedelta(hours=2)
    for number in range(count):
        manager.update_session_status(f"s{number:06}", STATUSES[number % len(STATUSES)])
        clock.now = end - timedelta(minutes=1)
    clock.now = end
    manager.add_scene_to_session("s000007", scene(1))


class Steps:
    """Counts the steps of every connection of a store, as SQLite takes them."""

    def __init__(self, manager: SessionManager) -> None:
        self.reports = 0
        engine = engine_of(manager)
        manager.get_session_count()
        for driver in [engine._writer.driver, *(reader.driver for reader in engine._readers._idle)]:
            driver.set_progress_handler(self._count, STEPS_A_REPORT)

    def of(self, call: Callable[[], object]) -> int:
        """Of the second call: the first may have to compile its statements."""
        call()
        before = self.reports
        call()
        return (self.reports - before) * STEPS_A_REPORT

    def _count(self) -> int:
        self.reports += 1
        return 0


@pytest.fixture
def stores(open_manager: OpenManager, clock: ManualClock, tmp_path: Path) -> list[SessionManager]:
    """The same store twice, small and large."""
    opened = []
    for count in (SMALL, LARGE):
        path = tmp_path / f"{count}.db"
        with SessionManager(None, None, database_url=f"sqlite:///{path}", clock=clock, durability="normal") as manager:
            fill(manager, clock, count)
            # As the background does, until under a thousand are left: metrics read each event that is not summed up.
            summaries.sum_up(manager._store)
        opened.append(open_manager(database_url=f"sqlite:///{path}", max_sessions=count, cleanup_interval=None))
    return opened


def last_page(manager: SessionManager, clock: ManualClock) -> object:
    return manager.list_sessions(limit=5, created_before=clock.now - timedelta(hours=20))


def claimed(manager: SessionManager) -> GenerationRun:
    """The oldest of the pending sessions, which are one in six."""
    run = manager.claim_next_session("w")
    assert run is not None
    return run


CALLS: dict[str, Callable[[SessionManager, ManualClock], object]] = {
    "get_session_count": lambda manager, _: manager.get_session_count(),
    "get_performance_stats": lambda manager, _: manager.get_performance_stats(),
    "get_health_status": lambda manager, _: manager.get_health_status(),
    "get_metrics": lambda manager, _: manager.get_metrics(),
    "create_session at capacity": lambda manager, _: manager.create_session(request()),
    "the first page": lambda manager, _: manager.list_sessions(limit=5),
    "the last page": last_page,
    "a page of one status": lambda manager, _: manager.list_sessions(limit=5, status="failed"),
    "get_session": lambda manager, _: manager.get_session("s000007"),
    "add_scene_to_session": lambda manager, _: manager.add_scene_to_session("s000007", scene(1)),
    "update_session_progress": lambda manager, _: manager.update_session_progress("s000007", 1, 2, "half"),
    "a change of status": lambda manager, _: [
        manager.update_session_status("s000007", status) for status in ("downloading", "processing")
    ],
    "claiming and giving back": lambda manager, _: claimed(manager).release(),
}


def test_no_call_takes_more_steps_in_a_store_a_hundred_times_as_large(
    stores: list[SessionManager], clock: ManualClock
) -> None:
    steps = {
        name: [Steps(manager).of(lambda manager=manager, call=call: call(manager, clock)) for manager in stores]  # type: ignore[misc]
        for name, call in CALLS.items()
    }
    limits = {name: max(TOLERANCE * small + 100, BOUNDED.get(name, 0)) for name, (small, _) in steps.items()}
    assert {name: each for name, each in steps.items() if each[1] > limits[name]} == {}


def test_control_a_call_that_reads_every_session_is_found_out(stores: list[SessionManager]) -> None:
    small, large = (Steps(manager).of(manager.count_expired_sessions) for manager in stores)
    assert large > 10 * small


def sum_of_creations(database: Path) -> tuple[int, int]:
    """In milliseconds since 2020: as counted, and by looking at every session."""
    instants = [datetime.fromisoformat(text + "+00:00") for (text,) in ask(database, "SELECT created_at FROM sessions")]
    epoch = datetime(2020, 1, 1, tzinfo=UTC)
    ((counted,),) = ask(database, "SELECT created_ms FROM session_counts WHERE counted_by = 'all'")
    return counted, sum(round((instant - epoch).total_seconds() * 1000) for instant in instants)


def count_of(database: Path) -> dict[tuple[str, str], int]:
    return {
        (kind, value): count
        for kind, value, count in ask(database, "SELECT counted_by, value, sessions FROM session_counts")
    }


def recount(database: Path) -> dict[tuple[str, str], int]:
    """The same, by looking at every session."""
    counted: dict[tuple[str, str], int] = {}
    for status, created_at, updated_at in ask(database, "SELECT status, created_at, updated_at FROM sessions"):
        quiet = [("quiet", updated_at[:16])] if status == "processing" else []
        for key in [("all", ""), ("status", status), ("created", created_at[:16]), *quiet]:
            counted[key] = counted.get(key, 0) + 1
    return counted


def test_the_counts_stay_right_through_every_kind_of_change(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    manager, chance = open_manager(max_sessions=25, cleanup_interval=None), random.Random(7)
    ids = [f"s{number}" for number in range(40)]
    acts: list[Callable[[str], object]] = [
        lambda session_id: manager.create_session(request(), session_id=session_id),
        lambda session_id: manager.update_session_status(session_id, chance.choice(STATUSES)),
        lambda session_id: manager.update_session_progress(session_id, 1, 2, "half"),
        lambda session_id: manager.add_scene_to_session(session_id, scene(1)),
        manager.remove_session,
        lambda _: manager.cleanup_expired_sessions(),
    ]
    for _ in range(600):
        clock.advance(seconds=chance.choice([0.25, 1, 20, 600, 3600]))
        chance.choice(acts)(chance.choice(ids))
        assert {key: count for key, count in count_of(database).items() if count} == recount(database)
    with closing(sqlite3.connect(database)) as other:
        other.execute("UPDATE sessions SET status = 'processing'")
        other.execute("UPDATE sessions SET created_at = '2026-01-01 00:00:00.500' WHERE rowid % 2")
        other.execute("DELETE FROM sessions WHERE created_at < (SELECT max(created_at) FROM sessions)")
        other.commit()
    assert {key: count for key, count in count_of(database).items() if count} == recount(database)
    counted, summed = sum_of_creations(database)
    assert counted == summed
    # Minutes in which nothing is counted any more are forgotten.
    assert [key for key, count in count_of(database).items() if not count and key[0] in {"created", "quiet"}] == []


def test_ages_are_told_to_the_millisecond(open_manager: OpenManager, clock: ManualClock) -> None:
    manager = open_manager()
    clock.advance(milliseconds=999)
    manager.create_session(request())
    clock.advance(seconds=17.5)
    ages = manager.get_performance_stats()
    assert ages["average_age_hours"] == ages["oldest_session_hours"] == ages["newest_session_hours"] == 0.0


def test_counts_that_a_foreign_program_put_wrong_keep_no_session_from_going(
    open_manager: OpenManager, database: Path
) -> None:
    manager = open_manager()
    manager.create_session(request(), session_id="a")
    with closing(sqlite3.connect(database)) as other:
        other.execute("UPDATE session_counts SET sessions = 0")
        other.commit()
    assert manager.remove_session("a")
    assert manager.get_performance_stats()["total_sessions"] == 0


def test_a_cleanup_runs_the_same_statements_however_many_it_finds(
    open_manager: OpenManager, clock: ManualClock
) -> None:
    """The driver keeps some hundred prepared statements: one for each count of rows would be megabytes."""
    manager = open_manager(max_sessions=None, tombstone_retention_days=1, event_retention_days=1)
    held = engine_of(manager)._writer.held
    assert held is not None
    seen: list[set[str]] = []
    event.listen(held.sql, "before_cursor_execute", lambda *given: seen[-1].add(given[2]))
    for count in (1, 2, 7):
        for _ in range(count):
            manager.remove_session(manager.create_session({"story_text": "A lamp."}))
        clock.advance(days=2)
        seen.append(set())
        prune_history(manager._store)
    assert seen[0]
    assert seen == [seen[0]] * 3
