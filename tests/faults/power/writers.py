"""What the children do whose runs are recorded; each of their writes is marked in the record once it returned.

`1-7 3`: session 1-7 was told that step 3 is saved. `1-7 3 ?`: it was told that this is unknown. `copied x.db`: a copy
was made.
"""

import os
import random
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.persistence.engines.sqlite import checkpoints, engine, publishing, schema
from sessionstore.persistence.engines.sqlite.connections import connect
from sessionstore.persistence.engines.sqlite.library import sqlite3
from tests.concurrency import manager_on
from tests.faults.injection.shim import mark
from tests.faults.injection.zygote import Say
from tests.faults.steps import Step, take

# So that a short run has many, each with its syncs of the WAL and of the file.
COMMITS_BETWEEN_CHECKPOINTS = 7


def write(say: Say, database: str, writer: str, seed: int, rounds: int, durability: str) -> None:
    """Opens, takes sessions through all steps, some at a time, and closes; so often."""
    checkpoints.COMMITS_BETWEEN_CHECKPOINTS = COMMITS_BETWEEN_CHECKPOINTS
    if durability == "off":
        engine.connect = _without_syncs  # type: ignore[assignment,attr-defined]
        schema.connect = _without_syncs  # type: ignore[assignment,attr-defined]
        durability = "full"
    _Life(Path(database), writer, random.Random(seed), durability).lead(rounds)


def open_and_write(say: Say, database: str) -> None:
    """Says how that went."""
    try:
        with manager_on(Path(database)) as manager:
            take(manager, "w1-1", Step.CREATED)
        say("written")
    except DatabaseUnavailableError as error:
        say(type(error).__name__)


def die_and_be_followed(say: Say, database: str, seed: int, is_made_sure_of: bool) -> None:
    """Writes in a process that ends, without closing, as soon as a write is in doubt; then another opens and writes.

    Somebody reads meanwhile, so that opening does not put the WAL away.
    """
    if not is_made_sure_of:
        schema.make_sure_of_wal = lambda driver, database: None  # type: ignore[attr-defined]
    first = os.fork()
    if first == 0:
        _Life(Path(database), "w1", random.Random(seed), "full", stops_in_doubt=True).lead(1)
        os._exit(0)
    os.waitpid(first, 0)
    with closing(sqlite3.connect(database)) as reader:
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        _Life(Path(database), "w2", random.Random(seed), "full").lead(1)


def back_up(say: Say, database: str, is_synced: bool) -> None:
    """Writes, copies the store both ways while it is open, and writes on; a copy is marked once it returned."""
    if not is_synced:
        publishing._sync_file = publishing.sync_folder = lambda path: None  # type: ignore[assignment,attr-defined]
    with manager_on(Path(database)) as manager:
        for number in range(3):
            for step in (Step.CREATED, Step.PROGRESSED, Step.ONE_SCENE):
                take(manager, f"b-{number}", step)
                mark(f"b-{number} {step}")
            for name, copy in (("backup", manager.backup), ("snapshot", manager.snapshot)):
                copy(Path(database).with_name(f"{name}-{number}.db"))
                mark(f"copied {name}-{number}.db")


def _without_syncs(*arguments: object, **options: object) -> object:
    connection = connect(*arguments, **options)  # type: ignore[arg-type]
    connection.execute("PRAGMA synchronous = OFF")
    return connection


class _Life:
    """One writer, whose sessions are called after it."""

    SESSIONS_AT_A_TIME = 3

    def __init__(
        self, database: Path, writer: str, chance: random.Random, durability: str, *, stops_in_doubt: bool = False
    ) -> None:
        self._open: Callable[[], SessionManager] = lambda: manager_on(database, durability=durability)
        self._writer = writer
        self._chance = chance
        self._stops_in_doubt = stops_in_doubt
        self._started = 0
        self._steps: dict[str, Step] = {}

    def lead(self, rounds: int) -> None:
        for _ in range(rounds):
            manager = self._open_at_last()
            for _ in range(self._chance.randrange(10, 50)):
                self._go_on(manager)
            manager.shutdown()

    def _open_at_last(self) -> SessionManager:
        """Again and again, where the disk fails now and then."""
        while True:
            with suppress(DatabaseUnavailableError):
                return self._open()

    def _go_on(self, manager: SessionManager) -> None:
        while len(self._steps) < self.SESSIONS_AT_A_TIME:
            self._started += 1
            self._steps[f"{self._writer}-{self._started}"] = Step.NOTHING
        session_id = self._chance.choice(list(self._steps))
        step = Step(self._steps[session_id] + 1)
        try:
            take(manager, session_id, step)
        except DatabaseUnavailableError as error:
            if not error.in_doubt:
                return
            # Left as it is, to be repeated by whoever opens the store after the power cut.
            mark(f"{session_id} {step} ?")
            if self._stops_in_doubt:
                os._exit(0)
            del self._steps[session_id]
            return
        mark(f"{session_id} {step}")
        self._steps[session_id] = step
        # Some completed sessions stay; the others go with the next step.
        if step is Step.GONE or (step is Step.COMPLETED and self._chance.random() < 0.5):
            del self._steps[session_id]
