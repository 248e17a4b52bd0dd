"""Disks that are full, as the system and SQLite make them be: what the store says, and what can still be done."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, GenerationSession, SessionManager
from sessionstore.persistence.engines.sqlite.checkpoints import Checkpointer
from sessionstore.testing import wait_for_cleanup
from tests.concurrency import Caller, engine_of, manager_on, scene
from tests.faults.disk.full import Disk, FileSizeLimit, PageLimit, SmallDisk, small_disk
from tests.faults.tally import Tally

STORY = {"story_text": "A fox finds a lantern. " * 2_000, "num_scenes": 3}
MANY = 300


@pytest.fixture(params=["small disk", "file size", "pages"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "small disk":
        with small_disk(folder):
            yield SmallDisk(folder)
    else:
        yield FileSizeLimit(folder) if request.param == "file size" else PageLimit(folder)


@pytest.fixture
def manager(disk: Disk) -> Iterator[SessionManager]:
    """With some sessions, most of which are in the file itself by now."""
    with manager_on(disk.folder / "sessions.db") as manager:
        for number in range(20):
            manager.create_session(STORY, session_id=f"before-{number}")
            manager.update_session_progress(f"before-{number}", 100, MANY, "going on")
        commits = engine_of(manager)._commits
        commits.while_nobody_writes(commits.checkpoint)
        yield manager


def fill_up(manager: SessionManager) -> tuple[list[str], DatabaseUnavailableError]:
    """Creates sessions until one is refused twice: those that were acknowledged, and the error.

    Once may be for want of room for the WAL alone, which starts over then.
    """
    acknowledged = [f"before-{number}" for number in range(20)]
    last_refused = ""
    while len(acknowledged) < MANY:
        session_id = f"created-{len(acknowledged)}"
        try:
            acknowledged.append(manager.create_session(STORY, session_id=session_id))
        except DatabaseUnavailableError as error:
            if session_id == last_refused:
                return acknowledged, error
            last_refused = session_id
    raise AssertionError(f"the disk took {MANY} sessions")


def assert_holds(manager: SessionManager, acknowledged: list[str]) -> None:
    """Reads every session: those that were acknowledged are there, and no others."""
    assert sorted(each["session_id"] for each in manager.get_all_sessions_info()) == sorted(acknowledged)
    for session_id in acknowledged:
        assert manager.get_session(session_id) is not None


def test_what_has_no_room_is_refused_in_words_and_nothing_acknowledged_is_lost(
    disk: Disk, manager: SessionManager, tally: Tally
) -> None:
    with disk.is_full(manager) as filling:
        acknowledged, error = fill_up(manager)
        assert disk.words in str(error)
        assert str(disk.folder / "sessions.db") in str(error)
        assert "remove sessions" in str(error)
        assert_holds(manager, acknowledged)
        filling.make_room()
        # The same manager, without being opened again; and what was refused can be repeated.
        for number in range(20, len(acknowledged) + 1):
            assert manager.create_session(STORY, session_id=f"created-{number}") == f"created-{number}"
    assert not [each for each in manager.check() if each.severity == "error" and each.check != "disk_space"]
    tally(f"disk full: {type(disk).__name__}", f"{len(acknowledged)} sessions", "0 lost, written on with room again")


def test_eight_threads_on_a_disk_that_is_full_are_each_told_the_truth(disk: Disk, manager: SessionManager) -> None:
    with disk.is_full(manager):
        acknowledged, _ = fill_up(manager)
        writes: list[Callable[[], object]]
        writes = [partial(manager.create_session, STORY, session_id=f"thread-{number}") for number in range(8)]
        writes += [partial(manager.update_session_progress, "before-1", n, MANY, "going on") for n in range(100, 108)]
        callers = [caller.join() for caller in [Caller(write) for write in writes]]
        assert {type(each.error) for each in callers[:8]} == {DatabaseUnavailableError}
        assert {type(each.error) for each in callers} <= {DatabaseUnavailableError, type(None)}
        assert_holds(manager, acknowledged)


def test_nothing_is_half_done_on_a_disk_that_is_full(disk: Disk, manager: SessionManager) -> None:
    def grow(session: GenerationSession) -> None:
        session.metadata["long"] = STORY["story_text"]

    def both() -> None:
        with manager.transaction():
            manager.remove_session("before-1")
            manager.create_session(STORY, session_id="first")
            manager.create_session(STORY, session_id="second")

    with disk.is_full(manager):
        acknowledged, _ = fill_up(manager)
        for write in (
            both,
            partial(manager.with_session_lock, "before-2", grow),
            partial(manager.atomic_session_update, "before-3", {"status": "failed", "metadata": STORY}),
            partial(
                manager.set_session_scenes, "before-4", [{**scene(1).model_dump(), "description": STORY["story_text"]}]
            ),
        ):
            with pytest.raises(DatabaseUnavailableError, match=disk.words):
                write()
        assert_holds(manager, acknowledged)
        sessions = [manager.get_session(f"before-{number}") for number in (2, 3, 4)]
        assert [(each.status, each.metadata, each.scenes) for each in sessions if each] == [("pending", {}, [])] * 3


def test_a_disk_that_is_full_ends_no_background_thread(disk: Disk, manager: SessionManager) -> None:
    with disk.is_full(manager) as filling:
        fill_up(manager)
        for _ in range(3):
            assert wait_for_cleanup(manager)
        filling.make_room()
        assert wait_for_cleanup(manager)
    assert manager._upkeep._loop.is_alive()


@pytest.mark.parametrize("disk", ["small disk", "file size"], indirect=True)
def test_a_copy_that_has_no_room_is_refused_by_its_name_and_leaves_nothing(disk: Disk, manager: SessionManager) -> None:
    if isinstance(disk, FileSizeLimit):
        disk.limit_bytes = 64 * 1024
    with disk.is_full(manager) as filling:
        before = {each.name for each in disk.folder.iterdir()}
        for copy in (manager.backup, manager.snapshot):
            with pytest.raises(DatabaseUnavailableError, match=rf"copy\.db: .*({disk.words}|ulimit -f)"):
                copy(disk.folder / "copy.db")
        assert {each.name for each in disk.folder.iterdir()} == before
        filling.make_room()
        manager.backup(disk.folder / "copy.db")


@pytest.mark.parametrize("disk", ["small disk", "file size"], indirect=True)
def test_a_store_closes_on_a_disk_that_is_full_and_is_whole_when_it_is_opened_again(
    disk: Disk, manager: SessionManager
) -> None:
    with disk.is_full(manager):
        acknowledged, _ = fill_up(manager)
        assert manager.shutdown(timeout=10)
    with manager_on(disk.folder / "sessions.db") as again:
        assert {each["session_id"] for each in again.get_all_sessions_info()} == set(acknowledged)
        assert not [each for each in again.check() if each.severity == "error" and each.check != "disk_space"]


@pytest.mark.parametrize("disk", ["small disk", "file size"], indirect=True)
def test_a_store_that_cannot_be_made_for_want_of_room_is_made_once_there_is_some(disk: Disk) -> None:
    with disk.is_full() as filling:
        with pytest.raises(DatabaseUnavailableError, match=disk.words):
            manager_on(disk.folder / "sessions.db")
        filling.make_room()
        with manager_on(disk.folder / "sessions.db") as manager:
            assert manager.get_session_count() == 0


def work_and_tidy_up(manager: SessionManager) -> int:
    """Writes that need no more pages, and removals, each repeated once when refused; how many were refused twice."""
    refused = 0

    def repeat_once(write: Callable[[], object]) -> None:
        nonlocal refused
        for _ in range(2):
            try:
                write()
            except DatabaseUnavailableError:
                continue
            return
        refused += 1

    for number in range(MANY):
        repeat_once(partial(manager.update_session_progress, f"before-{number % 20}", number, MANY, "going on"))
    for number in range(20):
        repeat_once(partial(manager.remove_session, f"before-{number}"))
    return refused


def test_sessions_can_be_worked_on_and_removed_on_a_disk_that_is_full(disk: Disk, manager: SessionManager) -> None:
    with disk.is_full(manager):
        assert work_and_tidy_up(manager) == 0
        assert manager.get_session_count() == 0


@pytest.mark.parametrize("disk", ["small disk", "file size"], indirect=True)
def test_control_without_a_wal_that_starts_over_nothing_can_be_removed(
    disk: Disk, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpointer, "run", lambda self, writer: None)
    with disk.is_full(manager):
        assert work_and_tidy_up(manager) >= 20
        assert manager.get_session_count() == 20
