"""Nothing is missed and nothing is told twice, with other processes that write, are killed, and begin again."""

import random
import threading
from pathlib import Path
from typing import NamedTuple

from sessionstore import SessionManager
from tests.concurrency import PATIENCE_SECONDS, ask, manager_on, request, scene, wait_until
from tests.following.workers import WATCHED, FollowingWorker

TICKS = {"progress", "state"}


class Item(NamedTuple):
    """A line of a watching process."""

    cursor: str
    event_type: str
    status: str
    scene_number: str


def recorded(database: Path) -> list[tuple[str, int | None]]:
    """The history of the watched session, but for its creation."""
    statement = (
        "SELECT event_type, scene_number FROM session_events "
        "WHERE session_id = ? AND event_type <> 'created' ORDER BY event_id"
    )
    return ask(database, statement, WATCHED)


def items_of(lines: list[str]) -> list[Item]:
    return [Item(*line.split()) for line in lines if line != "end"]


def begin(database: Path) -> SessionManager:
    manager = manager_on(database)
    manager.create_session(request(), session_id=WATCHED)
    manager.update_session_status(WATCHED, "processing")
    return manager


def test_a_reader_that_begins_again_anywhere_misses_nothing_of_two_writing_processes(database: Path) -> None:
    manager, chance = begin(database), random.Random(3)
    cursor = manager.watch(WATCHED).cursor
    told: list[tuple[str, int | None]] = [("status_changed", None)]
    with (
        FollowingWorker("write", database, 0, 120, "none") as first,
        FollowingWorker("write", database, 1000, 120, "none") as second,
    ):
        for writer in (first, second):
            writer.expect("ready")
        for writer in (first, second):
            writer.go()
        while len(told) < 1 + 240:
            changes = manager.watch(WATCHED, after=cursor, timeout=PATIENCE_SECONDS)
            for _ in range(chance.randint(1, 12)):
                change = next(changes)
                cursor = change.cursor
                if change.event_type not in TICKS:
                    told.append((change.event_type, change.scene_number))
                if len(told) == 1 + 240:
                    break
        for writer in (first, second):
            writer.rest()
    assert told == recorded(database)
    assert manager.shutdown()


def test_a_reader_that_is_killed_and_begins_again_from_its_last_line_misses_nothing(database: Path) -> None:
    manager, chance, lines, cursor = begin(database), random.Random(5), list[str](), "none"
    with FollowingWorker("write", database, 0, 300, "completed") as writer:
        writer.expect("ready")
        for is_last in (False, False, True):
            with FollowingWorker("watch", database, cursor) as reader:
                if cursor == "none":
                    lines.append(reader.line())
                    writer.go()
                if is_last:
                    lines += reader.rest()
                else:
                    lines += [reader.line() for _ in range(chance.randint(5, 40))]
                    lines += reader.reports_after_kill()
                cursor = items_of(lines)[-1].cursor
        writer.rest()
    items = items_of(lines)
    assert lines[-1] == "end"
    assert [each.event_type for each in items].count("state") == 1
    told = [(each.event_type, each.scene_number) for each in items if each.event_type not in TICKS]
    assert told == [(event_type, str(number)) for event_type, number in recorded(database)[1:]]
    assert manager.shutdown()


def test_a_writer_that_is_killed_and_begins_again_is_followed_throughout(database: Path) -> None:
    manager = begin(database)
    watch, told = manager.watch(WATCHED), list[tuple[str, int | None]]()

    def follow(count: int) -> None:
        wanted = len(told) + count
        while len(told) < wanted:
            change = watch.next_within(PATIENCE_SECONDS)
            assert change is not None
            if change.event_type not in TICKS:
                told.append((change.event_type, change.scene_number))

    for first in (0, 100_000):
        with FollowingWorker("write_for_ever", database, first) as writer:
            writer.expect("ready")
            follow(20)
            writer.kill()
    manager.update_session_status(WATCHED, "completed")
    told += [(change.event_type, change.scene_number) for change in watch if change.event_type not in TICKS]
    assert told == recorded(database)[1:]
    assert manager.shutdown()


def test_a_session_that_is_removed_and_made_again_elsewhere_is_followed_from_life_to_life(database: Path) -> None:
    manager, other = begin(database), manager_on(database)
    lives = 15

    def live() -> None:
        for number in range(1, lives + 1):
            with other.transaction():
                other.remove_session(WATCHED)
                if number < lives:
                    other.create_session(request(), session_id=WATCHED)
            if number < lives:
                other.add_scene_to_session(WATCHED, scene(number))

    cursor = manager.watch(WATCHED).cursor
    living, told = threading.Thread(target=live), list[str]()
    living.start()
    while told.count("removed") < lives:
        for change in manager.watch(WATCHED, after=cursor, timeout=PATIENCE_SECONDS):
            cursor = change.cursor
            told.append(change.event_type)
    living.join()
    assert told == [*["removed", "created", "scene_added"] * (lives - 1), "removed"]
    assert manager.shutdown()
    assert other.shutdown()


def test_callbacks_hear_each_change_of_two_other_processes_once(database: Path) -> None:
    manager = begin(database)
    with (
        FollowingWorker("hear", database) as hearer,
        FollowingWorker("write", database, 0, 60, "none") as first,
        FollowingWorker("write", database, 1000, 60, "completed") as second,
    ):
        for worker in (hearer, first, second):
            worker.expect("ready")
        first.go()
        first.rest()
        second.go()
        second.rest()
        manager.create_session(request(), session_id="last")
        manager.remove_session("last")
        heard = hearer.rest()
    statement = "SELECT event_type, session_id FROM session_events WHERE event_type IN ('created', 'scene_added')"
    expected = [f"{event_type} {session_id}" for event_type, session_id in ask(database, statement)[1:]]
    assert [line for line in heard if line.split()[0] in {"created", "scene_added"}] == expected
    assert heard.count(f"completed {WATCHED}") == 1
    assert 0 < sum(line.startswith("progress") for line in heard) < 120
    assert heard[-1] == "end"
    assert manager.shutdown()


def test_a_shutdown_closes_the_connection_that_looks_for_changes(database: Path) -> None:
    manager = begin(database)
    watches = [manager.watch(WATCHED) for _ in range(2)]
    for watch in watches:
        next(watch)
    wait_until(lambda: manager._store.feed._mark is not None, "the first look")
    assert manager.shutdown()
    # The last one out has put the WAL away: the connection that looks was closed in time.
    assert not Path(f"{database}-wal").exists()


def test_a_watch_is_refused_in_a_forked_child_and_goes_on_in_its_parent(database: Path) -> None:
    assert begin(database).shutdown()
    with FollowingWorker("fork", database) as worker:
        assert worker.rest() == ["child: DatabaseUnavailableError", "parent: scene_added"]
