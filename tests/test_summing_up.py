"""Events that are summed up one by one, and tombstones that are pruned one by one: no report notices."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionstore import GenerationRequest, SessionManager
from sessionstore.operations.retention import prune_history
from sessionstore.testing import ManualClock
from tests.concurrency import Caller, ask, manager_on, scene
from tests.conftest import OpenManager
from tests.dumps import query
from tests.workers import Worker

VIEWS = ("sessions", "hourly", "daily", "failures", "scenes", "status_durations", "departures", "costs")
# The shortest and the longest come first, last and in between; some are alike.
SECONDS = ((5, 2, 9), (2, 9, 5), (9, 5, 2), (5, 5, 5), (3, 11, 1))


@pytest.fixture
def quiet(open_manager: OpenManager) -> SessionManager:
    """A manager that sums up and prunes when it is told to."""
    return open_manager(max_sessions=None, summary_interval=None, recovery_interval=None, tombstone_retention_days=1)


def live_through(manager: SessionManager, clock: ManualClock) -> None:
    """Sessions of two media types over an hour's end, each status and scene of another length."""
    for number, (queued, painting, failing) in enumerate(SECONDS):
        media_type = ("cartoon", "realistic")[number % 2]
        request = GenerationRequest(story_text="A lamp.", media_type=media_type)
        session_id = manager.create_session(request, session_id=f"session-{number}")
        clock.advance(seconds=queued)
        manager.update_session_status(session_id, "processing")
        clock.advance(seconds=painting)
        manager.add_scene_to_session(session_id, scene(1))
        clock.advance(seconds=failing)
        manager.update_session_status(session_id, "failed", "no paint")
        clock.advance(minutes=10)


def reports(manager: SessionManager, *but: str) -> dict[str, Any]:
    return {name: manager.report(name).rows for name in VIEWS if name not in but}


def test_events_that_are_summed_up_one_by_one_change_no_report(quiet: SessionManager, clock: ManualClock) -> None:
    live_through(quiet, clock)
    quiet.remove_session("session-0")
    before = reports(quiet)
    engine = quiet._store.engine
    unsummed = engine.read(lambda unit: unit.totals.count_unsummed())

    for left in reversed(range(unsummed)):
        assert engine.write(lambda unit: unit.totals.sum_up(1)) == 1
        assert engine.read(lambda unit: unit.totals.count_unsummed()) == left
        assert reports(quiet) == before

    assert engine.write(lambda unit: unit.totals.sum_up(1)) == 0
    quiet.create_session({"story_text": "A lamp."})
    assert sum(row[2] for row in quiet.report("daily").rows) == len(SECONDS) + 1


def test_tombstones_that_are_pruned_go_to_the_totals_and_change_no_report_but_of_each_session(
    quiet: SessionManager, clock: ManualClock, database: Path
) -> None:
    live_through(quiet, clock)
    before = reports(quiet, "sessions", "failures", "departures")
    sums = query(database, "SELECT count(*), sum(scene_count), sum(queue_ms), sum(generation_ms) FROM report_sessions")
    # One a minute, so that a minute's pruning takes one.
    for number in range(len(SECONDS)):
        assert quiet.remove_session(f"session-{number}")
        clock.advance(minutes=1)
    clock.advance(days=1, minutes=-len(SECONDS))
    departures = quiet.report("departures")

    for pruned in range(1, len(SECONDS) + 1):
        clock.advance(minutes=1)
        prune_history(quiet._store)
        assert len(quiet.report("sessions").rows) == len(SECONDS) - pruned
        totals = "SELECT sum(session_count), sum(scene_count), sum(queue_ms), sum(generation_ms) FROM session_totals"
        left = "SELECT count(*), sum(scene_count), sum(queue_ms), sum(generation_ms) FROM report_sessions"
        (amounts,), (rest,) = query(database, totals), query(database, left)
        assert [tuple(a + (b or 0) for a, b in zip(amounts, rest, strict=True))] == sums

    assert reports(quiet, "sessions", "failures", "departures") == before
    assert quiet.report("departures") == departures
    assert query(database, "SELECT day_at, media_type, status, reason, session_count FROM session_totals") == [
        ("2026-01-01 00:00:00.000", "cartoon", "failed", "removed", 3),
        ("2026-01-01 00:00:00.000", "realistic", "failed", "removed", 2),
    ]


def test_what_is_not_summed_up_is_not_pruned_however_old(
    open_manager: OpenManager, clock: ManualClock, database: Path
) -> None:
    manager = open_manager(max_sessions=None, summary_interval=None, recovery_interval=None, event_retention_days=1)
    live_through(manager, clock)
    clock.advance(days=2)
    before = reports(manager)
    assert manager._store.engine.write(lambda unit: unit.totals.sum_up(7)) == 7

    assert prune_history(manager._store) == 7

    assert reports(manager) == before
    assert query(database, "SELECT min(event_id) FROM session_events") == [(8,)]


def test_a_million_hours_apart_is_still_the_right_hour(quiet: SessionManager, clock: ManualClock) -> None:
    """The beginning of an hour is told by its text, in years before and after those of any clock."""
    clock.now = clock.now.replace(year=1969, month=12, day=31, hour=23, minute=59, second=59, microsecond=999_000)
    quiet.create_session({"story_text": "A lamp."})
    clock.advance(milliseconds=1)
    quiet.create_session({"story_text": "A lamp."})
    clock.now = clock.now.replace(year=2099)
    quiet.create_session({"story_text": "A lamp."})

    hours = [row[0] for row in quiet.report("hourly").rows]

    assert hours == [clock.now.replace(year=1970) - timedelta(hours=1), clock.now.replace(year=1970), clock.now]


def test_two_processes_that_tidy_up_at_once_beside_one_that_writes_lose_nothing_and_count_nothing_twice(
    database: Path,
) -> None:
    manager = manager_on(database, durability="normal", summary_interval=None)
    made = scenes = failed = 0
    with Worker("tidy", database, 3, 2) as some, Worker("tidy", database, 40, 7) as other:
        for worker in (some, other):
            worker.expect("ready")
        for worker in (some, other):
            worker.go()
        shares, end = [Caller(worker.line) for worker in (some, other)], time.monotonic() + 1.5
        while time.monotonic() < end or not all(share.is_done() for share in shares):
            session_id = manager.create_session(GenerationRequest(story_text="A lamp.", media_type="cartoon"))
            made += 1
            assert manager.update_session_status(session_id, "processing")
            for number in range(made % 3):
                assert manager.add_scene_to_session(session_id, scene(number))
                scenes += 1
            failed += made % 4 == 0
            assert manager.update_session_status(session_id, "completed" if made % 4 else "failed")
        assert [share.finish() for share in shares] == ["some of each"] * 2
        for worker in (some, other):
            worker.go()
        assert [some.rest(), other.rest()] == [[], []]

    assert "error" not in {finding.severity for finding in manager.check()}
    happened = "SELECT sum(created_count), sum(completed_count), sum(failed_count), sum(scene_count) FROM report_hourly"
    assert ask(database, happened) == [(made, made - failed, failed, scenes)]
    assert ask(database, "SELECT sum(scene_count) FROM report_scenes") == [(scenes,)]
    assert ask(
        database,
        "SELECT sum(sessions), sum(scenes) FROM ("
        "SELECT count(*) AS sessions, sum(scene_count) AS scenes FROM report_sessions "
        "UNION ALL SELECT sum(session_count), sum(scene_count) FROM session_totals)",
    ) == [(made, scenes)]
    assert manager.shutdown()
