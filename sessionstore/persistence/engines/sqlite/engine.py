"""The SQLite engine: opens the file, runs units of work on it, and closes it."""

import copy
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sessionstore.clock import Clock
from sessionstore.errors import DatabaseUnavailableError
from sessionstore.events import CallbackRegistry
from sessionstore.models import Finding
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.engines.base import Engine, Outcome, Work
from sessionstore.persistence.engines.sqlite import copies, doctor
from sessionstore.persistence.engines.sqlite.checkpoints import Checkpointer
from sessionstore.persistence.engines.sqlite.connections import (
    HeldConnection,
    connect,
    pragma,
    sqlalchemy_engine,
)
from sessionstore.persistence.engines.sqlite.errors import translating
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.engines.sqlite.guard import FileGuard
from sessionstore.persistence.engines.sqlite.queue import Turn, WriteQueue
from sessionstore.persistence.engines.sqlite.readers import Readers
from sessionstore.persistence.engines.sqlite.schema import ensure_schema
from sessionstore.persistence.engines.sqlite.writer import Writer
from sessionstore.persistence.execution import Executor
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
        self._queue = WriteQueue(lock_timeout)
        with translating(str(self._file)):
            self._file.require_usable(create=settings.auto_migrate)
            ensure_schema(self._file, auto_migrate=settings.auto_migrate, lock_timeout=lock_timeout)
            self._readers = Readers(self._holding(self._connect))
            self._writer = Writer(self._holding(partial(self._connect, busy_timeout_ms=0)), self._file, lock_timeout)
            # The first read makes the -wal and -shm files, which from then on are held and remembered.
            pragma(self._writer.driver, "user_version")
            self._file.remember()
            self._guard = FileGuard(self._file.path, self._file.identity)
            self._checkpoints = Checkpointer(self._connect())

    def __str__(self) -> str:
        return str(self._file)

    def _run_write(self, work: Work[T]) -> Outcome[T]:
        turn = self._queue.submit(work, self._lead)
        if turn.error is not None:
            raise turn.error
        outcome: Outcome[T] = turn.outcome
        return outcome

    def _lead(self, group: list[Turn]) -> None:
        """Commits the works of a group together; on its own, the first of a group that cannot be."""
        try:
            self._commit(group)
        except _GroupBrokenError:
            # The others queue up again, so that nobody gets the error of another's work.
            self._commit(group[:1])
        self._checkpoint_if_due()

    def _commit(self, group: list[Turn]) -> None:
        """Runs the works of a group in one transaction, and answers each once that is durable."""
        outcomes: list[Outcome[Any] | Exception] = []
        self._writer.is_committed = False
        try:
            with self._writer.transaction(group[0].deadline) as statements:
                self._run_group(group, statements, outcomes)
        except DatabaseUnavailableError as error:
            if not error.in_doubt:
                raise
            _answer(group, [each if isinstance(each, Exception) else copy.copy(error) for each in outcomes])
        finally:
            if self._writer.is_committed:
                _answer(group, outcomes)

    def _run_group(self, group: list[Turn], statements: Executor, outcomes: list[Outcome[Any] | Exception]) -> None:
        """Runs each work, in a savepoint of its own when it is not alone."""
        if len(group) == 1:
            unit = self._unit(statements)
            outcomes.append(Outcome(group[0].work(unit), unit.events))
            return
        for turn in group:
            try:
                unit = self._unit(statements)
                with unit.savepoint():
                    outcomes.append(Outcome(turn.work(unit), unit.events))
            except Exception as error:
                if not self._writer.in_transaction():
                    raise _GroupBrokenError from error
                outcomes.append(error)

    def _run_read(self, work: Work[T]) -> T:
        with self._readers.snapshot() as statements:
            return work(self._unit(statements))

    @contextmanager
    def _hold(self) -> Iterator[UnitOfWork]:
        with self._queue.alone() as turn:
            with self._writer.transaction(turn.deadline) as statements:
                yield self._unit(statements)
            self._checkpoint_if_due()

    def _checkpoint_if_due(self) -> None:
        """Called by the thread whose turn it is, after its commit."""
        if self._checkpoints.is_due(self._writer.wal_bytes):
            self._checkpoints.run(self._writer.driver, self._writer.wal_bytes)

    def _close_connections(self) -> None:
        with self._queue.alone(), self._guard.releasing():
            self._checkpoints.run(self._writer.driver, self._writer.wal_bytes)
            self._checkpoints.close()
            self._readers.close()
            self._writer.close()

    def _limit_wait(self, seconds: float) -> None:
        self._queue.lock_timeout = min(self._queue.lock_timeout, seconds)

    def reclaim_space(self) -> bool:
        with self.gate, self._queue.alone() as turn, self._writer.transaction(turn.deadline):
            driver = self._writer.driver
            # The pragma gives one page back for each row that is fetched.
            driver.execute(f"PRAGMA incremental_vacuum({RECLAIM_PAGES})").fetchall()
            return bool(pragma(driver, "freelist_count"))

    def backup(self, path: Path) -> None:
        with self.gate, translating(str(path)), closing(self._connect()) as source:
            copies.back_up(source, path)

    def snapshot(self, path: Path) -> None:
        with self.gate, translating(str(path)), closing(self._connect()) as source:
            copies.vacuum_into(source, path)

    def check(self) -> list[Finding]:
        with self.gate, translating(str(self._file)), closing(self._connect()) as connection:
            return doctor.examine(connection)

    def _holding(self, connect: Callable[[], Any]) -> Callable[[], HeldConnection]:
        return partial(HeldConnection, sqlalchemy_engine(connect, str(self._file)), str(self._file))


class _GroupBrokenError(Exception):
    """SQLite ended the transaction of a whole group because of one work in it."""


def _answer(group: list[Turn], outcomes: list[Outcome[Any] | Exception]) -> None:
    for turn, outcome in zip(group, outcomes, strict=True):
        if not turn.is_answered():
            turn.answer(outcome)
