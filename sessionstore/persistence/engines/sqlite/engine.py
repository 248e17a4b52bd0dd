"""The SQLite engine: opens the file, runs units of work on it, and closes it."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sessionstore.clock import Clock
from sessionstore.events import CallbackRegistry, SessionEvent
from sessionstore.models import Finding
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines.base import Engine, Outcome, Progress, Repair, Work
from sessionstore.persistence.engines.gate import Place
from sessionstore.persistence.engines.sqlite import copies
from sessionstore.persistence.engines.sqlite.checkpoints import Checkpointer
from sessionstore.persistence.engines.sqlite.connections import (
    HeldConnection,
    connect,
    pragma,
    sqlalchemy_engine,
)
from sessionstore.persistence.engines.sqlite.doctor.damage import indexes_blamed, problems_of
from sessionstore.persistence.engines.sqlite.doctor.examination import examine
from sessionstore.persistence.engines.sqlite.doctor.places import warn_of_shared
from sessionstore.persistence.engines.sqlite.doctor.repairs import (
    close_to_others,
    rebuild_indexes,
    remove_leftovers,
    rewrite_header,
)
from sessionstore.persistence.engines.sqlite.doctor.wal import LARGE_WAL_BYTES
from sessionstore.persistence.engines.sqlite.errors import translating, translating_all
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.engines.sqlite.group_commit import GroupCommit
from sessionstore.persistence.engines.sqlite.guard import FileGuard
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.engines.sqlite.mark import ChangeMark
from sessionstore.persistence.engines.sqlite.queue import WriteQueue
from sessionstore.persistence.engines.sqlite.readers import Readers
from sessionstore.persistence.engines.sqlite.schema import ensure_schema
from sessionstore.persistence.engines.sqlite.writer import Writer
from sessionstore.persistence.unit import UnitOfWork
from sessionstore.settings import Settings

T = TypeVar("T")

# Pages given back in one transaction: some milliseconds of work, so that writers are never held up longer.
RECLAIM_PAGES = 256


class SqliteEngine(Engine):
    """One held connection writes, a few held ones read; each duty has a module beside this one."""

    def __init__(
        self,
        path: str,
        settings: Settings,
        *,
        clock: Clock,
        codec: SessionCodec[Any, Any],
        callbacks: CallbackRegistry,
    ) -> None:
        """Opens the database, making or migrating it where `auto_migrate` allows. Raises as `open_engine` does."""
        super().__init__(clock=clock, codec=codec, callbacks=callbacks)
        lock_timeout = settings.lock_timeout
        self._file = DatabaseFile(path)
        self._connect = partial(connect, self._file.path, durability=settings.durability)
        self._durability = settings.durability
        self._queue = WriteQueue(lock_timeout)
        # What was opened before something failed is closed: an application may try again and again.
        with translating_all(str(self._file)), ExitStack() as undo:
            self._file.require_usable(create=settings.auto_migrate)
            ensure_schema(self._file, auto_migrate=settings.auto_migrate, lock_timeout=lock_timeout)
            self._readers = Readers(self._holding(self._connect))
            self._writer = Writer(self._holding(partial(self._connect, busy_timeout_ms=0)), self._file, lock_timeout)
            undo.callback(self._writer.close)
            # The first read makes the -wal and -shm files, which from then on are held and remembered.
            pragma(self._writer.driver, "user_version")
            self._file.remember()
            # A write that is acknowledged from now on stands on the names of both files.
            self._file.sync_names()
            self._checkpoints = Checkpointer(self._connect)
            undo.callback(self._checkpoints.close)
            self._guard = FileGuard(self._file.path, self._file.identity)
            undo.pop_all()
        warn_of_shared(self._file.path)
        self._mark = ChangeMark(self._connect)
        self._commits = GroupCommit(self._queue, self._writer, self._file, self._checkpoints, self._unit)

    def __str__(self) -> str:
        return str(self._file)

    def _run_write(self, work: Work[T]) -> Outcome[T]:
        return _outcome_or_raise(self._commits.write(work))

    def _run_write_alone(self, work: Work[T]) -> Outcome[T]:
        return _outcome_or_raise(self._commits.write(work, is_alone=True))

    def _run_read(self, work: Work[T]) -> T:
        return self._readers.run(lambda statements: work(self._unit(statements)))

    def _hold(self, place: Place) -> Generator[None, None, list[SessionEvent]]:
        return self._commits.hold(place)

    def _close_connections(self) -> None:
        self._commits.while_nobody_writes(self._close_all)

    def _close_all(self) -> None:
        with self._guard.releasing():
            self._commits.checkpoint()
            self._checkpoints.close()
            self._readers.close()
            self._mark.close()
            self._writer.close()

    def _limit_wait(self, seconds: float) -> None:
        self._queue.lock_timeout = min(self._queue.lock_timeout, seconds)

    def change_mark(self) -> int:
        return self.gate.run(self._look_at_mark, None)

    def _look_at_mark(self, place: Place, _: None) -> int:
        with translating_all(str(self._file)):
            return self._mark.look()

    def reclaim_space(self) -> bool:
        return self.write_alone(self._reclaim)

    def _reclaim(self, unit: UnitOfWork) -> bool:
        driver = self._writer.driver
        with translating_all(str(self._file)):
            # The pragma gives one page back for each row that is fetched.
            driver.execute(f"PRAGMA incremental_vacuum({RECLAIM_PAGES})").fetchall()
            return bool(pragma(driver, "freelist_count"))

    def storage_bytes(self) -> dict[str, int]:
        return self.gate.run(lambda _, file: file.sizes(), self._file)

    def backup(self, path: Path, progress: Progress | None) -> None:
        self.gate.run(self._connected, partial(copies.back_up, target=path, progress=progress))

    def snapshot(self, path: Path) -> None:
        self.gate.run(self._connected, partial(copies.vacuum_into, target=path))

    def check(self, *, reads_all: bool) -> list[Finding]:
        return self.gate.run(
            self._connected, partial(examine, file=self._file, durability=self._durability, reads_all=reads_all)
        )

    def repair(self) -> list[Repair]:
        path = self._file.path
        done = self.gate.run(lambda _, path: [*close_to_others(path), *remove_leftovers(path.parent)], path)
        wrong = self.gate.run(self._connected, lambda connection: indexes_blamed(problems_of(connection)))
        if wrong:
            done += self.write_alone(lambda unit: self._on_writer(partial(rebuild_indexes, names=wrong)))
        if self.storage_bytes()["wal"] > LARGE_WAL_BYTES:
            done += self._start_wal_over()
        return done

    def _start_wal_over(self) -> list[Repair]:
        """Moves all of the WAL into the database; then the next commit begins it anew and cuts it back."""
        before = self.storage_bytes()["wal"]
        self.gate.run(lambda _, act: self._commits.while_nobody_writes(act), self._commits.checkpoint)
        self.write_alone(lambda unit: self._on_writer(rewrite_header))
        after = self.storage_bytes()["wal"]
        return [("wal", f"cut back from {before:,} to {after:,} bytes")] if after < before else []

    def _on_writer(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with translating_all(str(self._file)):
            return act(self._writer.driver)

    def _connected(self, place: Place, act: Callable[[sqlite3.Connection], T]) -> T:
        with translating(str(self._file)), closing(self._connect()) as connection:
            return act(connection)

    def _holding(self, connect: Callable[[], Any]) -> Callable[[], HeldConnection]:
        return partial(HeldConnection, sqlalchemy_engine(connect, str(self._file)), str(self._file))


def _outcome_or_raise(answer: Any) -> Outcome[Any]:
    if isinstance(answer, Exception):
        try:
            raise answer
        finally:
            # An error that holds on to the frame that holds it would wait for the garbage collector.
            del answer
    outcome: Outcome[Any] = answer
    return outcome
