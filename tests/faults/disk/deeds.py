"""The store that the deeds are done to, and one deed of each kind that reaches the disk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sessionstore import GenerationSession, SessionManager
from sessionstore.operations.retention import never
from sessionstore.operations.upkeep import clean_up
from sessionstore.providers import Cost, Provider
from sessionstore.testing import ManualClock
from tests.concurrency import Caller, engine_of, manager_on, scene

STORE = "sessions.db"
COPY = "copy.db"
# Within these nothing of the deeds below is written behind their back.
QUIET = {"recovery_interval": None, "summary_interval": None, "lock_timeout": 5}
# Everything that happened before now may be forgotten by a cleanup.
FORGETFUL = {"event_retention_days": 0, "tombstone_retention_days": 0}
STORY = {"story_text": "A fox finds a lantern.", "num_scenes": 3, "media_type": "cartoon"}
# Does not fit into a page, so that it takes a chain of them.
LONG_STORY = {"story_text": "A fox finds a lantern. " * 400, "num_scenes": 3}
# `furnish` ends at this hour: what it completed in the beginning has expired by then.
HOURS_LATER = 7

IMAGES = Provider(
    name="images",
    submit=lambda request: "job-1",
    fetch=lambda job_id: {"url": "https://images.example/1.png"},
    cost=lambda request, result: Cost(40_000, "USD"),
)


def open_store(folder: Path, durability: str = "full") -> SessionManager:
    """A manager on the store in the folder, at the hour at which `furnish` left it."""
    clock = ManualClock()
    clock.advance(hours=HOURS_LATER)
    return manager_on(folder / STORE, clock=clock, durability=durability, **QUIET, **FORGETFUL)


def furnish(folder: Path) -> None:
    """Sessions in every status, some of them expired, in a store that is closed again."""
    clock = ManualClock()
    with manager_on(folder / STORE, clock=clock, **QUIET) as manager:
        for name in ("old", "older", "oldest"):
            manager.create_session(LONG_STORY, session_id=name)
            manager.add_scene_to_session(name, scene(1))
            manager.update_session_status(name, "completed")
        clock.advance(hours=HOURS_LATER - 0.5)
        for name in ("new", "busy", "lost"):
            manager.create_session(STORY, session_id=name, metadata={"user": "u-17"}, idempotency_key=f"key-{name}")
        for number in (1, 2):
            manager.add_scene_to_session("busy", scene(number))
        manager.update_session_status("busy", "processing")
        manager.update_session_status("lost", "failed", "no paint")


# Scenes, each noted once the call that saved it has returned: for deeds that may succeed in part.
acknowledged: list[tuple[str, int]] = []


@dataclass(frozen=True)
class Deed:
    """What is done to an open store; `opens` stands for opening it, which is all that is done then.

    `is_exact`: it leaves one of the states that it goes through undisturbed, done or refused.
    """

    act: Callable[[SessionManager, Path], object] = lambda manager, folder: None
    prepare: Callable[[SessionManager], object] = lambda manager: None
    opens: bool = False
    is_exact: bool = True
    copies: bool = False


def _several(manager: SessionManager, folder: Path) -> None:
    with manager.transaction():
        manager.create_session(STORY, session_id="first")
        manager.add_scene_to_session("first", scene(1))
        manager.remove_session("old")


def _rename_user(session: GenerationSession) -> None:
    session.metadata["user"] = "u-18"


def _fenced(manager: SessionManager, folder: Path) -> None:
    with manager.track("new", "gpu-1") as run:
        run.add_scene(scene(1))
        acknowledged.append(("new", 1))
        run.update_progress(1, 3, "one scene")


def _paid(manager: SessionManager, folder: Path) -> None:
    with manager.track("new", "gpu-1") as run:
        run.call(IMAGES, 1, {"prompt": "a fox"})


def _together(manager: SessionManager, folder: Path) -> None:
    def add(number: int) -> None:
        manager.add_scene_to_session("busy", scene(number))
        acknowledged.append(("busy", number))

    callers = [Caller(partial(add, number)) for number in range(3, 11)]
    errors = [each.error for each in [caller.join() for caller in callers] if each.error]
    if errors:
        raise errors[0]


def _accesses(manager: SessionManager, folder: Path) -> None:
    store = manager._store
    store.accesses.note("busy", store.now())
    store.accesses.save(store.engine)


def _write_a_lot(manager: SessionManager) -> None:
    """So that there is something in the WAL."""
    manager.create_session(LONG_STORY, session_id="in the WAL")
    manager.remove_session("oldest")


def _checkpoint(manager: SessionManager, folder: Path) -> None:
    commits = engine_of(manager)._commits
    commits.while_nobody_writes(commits.checkpoint)


WRITES = {
    "create": Deed(lambda manager, _: manager.create_session(STORY, session_id="made", idempotency_key="key")),
    "create a long one": Deed(lambda manager, _: manager.create_session(LONG_STORY, session_id="made")),
    "status": Deed(lambda manager, _: manager.update_session_status("new", "processing")),
    "progress": Deed(lambda manager, _: manager.update_session_progress("busy", 1, 2, "half")),
    "scene": Deed(lambda manager, _: manager.add_scene_to_session("busy", scene(3))),
    "scenes": Deed(lambda manager, _: manager.set_session_scenes("busy", [scene(2), scene(1), scene(4)])),
    "remove": Deed(lambda manager, _: manager.remove_session("old")),
    "update": Deed(lambda manager, _: manager.atomic_session_update("new", {"status": "failed", "metadata": {}})),
    "lock": Deed(lambda manager, _: manager.with_session_lock("new", _rename_user)),
    "bulk": Deed(lambda manager, _: manager.bulk_update_sessions(["new", "busy", "lost"], _rename_user)),
    "transaction": Deed(_several),
    "claim": Deed(lambda manager, _: manager.claim_next_session("gpu-1")),
    "cancel": Deed(lambda manager, _: manager.cancel_session("busy")),
    "retry": Deed(lambda manager, _: manager.retry_session("lost")),
    # What a run that failed gives back, it gives back in its own time.
    "run": Deed(_fenced, is_exact=False),
    "paid call": Deed(_paid, is_exact=False),
    "eight threads": Deed(_together, is_exact=False),
    "access times": Deed(_accesses),
}
UPKEEP = {
    "cleanup": Deed(lambda manager, _: manager.cleanup_expired_sessions()),
    "clear": Deed(lambda manager, _: manager.force_cleanup_all()),
    "tidy": Deed(lambda manager, _: clean_up(manager._store, never)),
    "checkpoint": Deed(_checkpoint, prepare=_write_a_lot),
    "backup": Deed(lambda manager, folder: manager.backup(folder / COPY), copies=True),
    "snapshot": Deed(lambda manager, folder: manager.snapshot(folder / COPY), copies=True),
    "shutdown": Deed(lambda manager, _: manager.shutdown(), prepare=_write_a_lot),
}
READS = {
    "get": Deed(lambda manager, _: manager.get_session("old")),
    "list": Deed(lambda manager, _: manager.list_sessions()),
    "report": Deed(lambda manager, _: manager.report("hourly")),
    "metrics": Deed(lambda manager, _: manager.get_metrics()),
    "check": Deed(lambda manager, _: manager.check()),
    "look for changes": Deed(lambda manager, _: engine_of(manager).change_mark()),
}
OPENINGS = {
    "open": Deed(opens=True),
    "open after a crash": Deed(opens=True),
    "migrate": Deed(opens=True),
    "make": Deed(opens=True),
}
DEEDS = WRITES | UPKEEP | READS | OPENINGS
