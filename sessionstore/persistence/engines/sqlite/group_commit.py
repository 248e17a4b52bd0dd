"""Group commit: one thread runs the works of all who queue behind it in its transaction, and commits once.

Nobody gets an answer before that commit is durable; each gets its own result or its own error. The thread that
leads may be interrupted at any point. What it had begun is in `_group` from the first moment, and whoever has
the turn next settles it: who is committed is answered, who is not goes back to the head of the queue.
"""

import copy
import os
from collections.abc import Callable, Generator
from typing import Any
from weakref import WeakSet

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.events import SessionEvent
from sessionstore.persistence.engines.base import Outcome
from sessionstore.persistence.engines.gate import Place
from sessionstore.persistence.engines.sqlite.checkpoints import Checkpointer
from sessionstore.persistence.engines.sqlite.connections import HeldConnection
from sessionstore.persistence.engines.sqlite.file import DatabaseFile
from sessionstore.persistence.engines.sqlite.library import sqlite3
from sessionstore.persistence.engines.sqlite.queue import Turn, WriteQueue
from sessionstore.persistence.engines.sqlite.writer import Writer
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.unit import UnitOfWork

# For a forked child, which must let go of all of them.
_living: "WeakSet[GroupCommit]" = WeakSet()


def _disown_all() -> None:
    for each in list(_living):
        each.disown()


os.register_at_fork(after_in_child=_disown_all)


class Group:
    """Turns that share a transaction, the leader's first; `outcomes` so far; `proof` of the commit (see `Writer`)."""

    __slots__ = ("outcomes", "proof", "turns")

    def __init__(self, leader: Turn) -> None:
        self.turns = [leader]
        self.outcomes: list[Outcome[Any] | Exception] = []
        self.proof: list[Any] = []


class GroupCommit:
    """All writing of one store."""

    def __init__(
        self,
        queue: WriteQueue,
        writer: Writer,
        file: DatabaseFile,
        checkpoints: Checkpointer,
        new_unit: Callable[[Executor], UnitOfWork],
    ) -> None:
        self._queue = queue
        self._writer = writer
        self._file = file
        self._checkpoints = checkpoints
        self._new_unit = new_unit
        self._group: Group | None = None
        # How many the last group had beside its leader, and whether one of the last that had any failed.
        self._last_company = 0
        self._is_careful = False
        # Whether the database failed the last transaction.
        self._has_failed = False
        _living.add(self)

    def write(self, work: Any, *, is_alone: bool = False) -> Any:
        """Has `work` done, by this thread or, unless `is_alone`, by another that leads; its outcome or its error.

        Raises:
            SessionLockError: when the lock timeout passed first.
            DatabaseUnavailableError: when the database failed; `in_doubt` when it failed in the commit.
        """
        turn = self._queue.new_turn(work, is_alone=is_alone)
        turn.is_here = True
        try:
            self._queue.enter(turn)
            while turn.answer is None:
                self._commit_group(turn)
        finally:
            turn.is_here = False
            self._queue.leave(turn)
        return turn.answer

    def hold(self, place: Place) -> Generator[None, None, list[SessionEvent]]:
        """A transaction of this thread around one `yield`, its unit in `place` meanwhile. Raises as `write` does."""
        turn = self._queue.new_turn(None, is_alone=True)
        turn.is_here = True
        try:
            self._queue.enter(turn)
            self._settle()
            group = self._group = Group(turn)
            try:
                held = self._begin(turn)
                place.unit = unit = self._new_unit(held.statements)
                try:
                    yield
                finally:
                    place.unit = None
                    unit.is_over = True
                group.outcomes.append(Outcome(None, unit.events))
                self._writer.commit(held, group.proof)
            except DatabaseUnavailableError:
                self._has_failed = True
                raise
            finally:
                # In line, as in `_commit_group`.
                try:
                    if (open_one := self._writer.held) is not None and open_one.driver.in_transaction:
                        open_one.driver.execute("ROLLBACK")
                except sqlite3.Error:
                    self._writer.close()
                self._settle()
        finally:
            turn.is_here = False
            self._queue.leave(turn)
        if isinstance(turn.answer, Exception):
            raise turn.answer
        return unit.events

    def while_nobody_writes(self, act: Callable[[], None]) -> None:
        """Waits for the turn, and calls `act` outside any transaction."""
        turn = self._queue.new_turn(None, is_alone=True)
        turn.is_here = True
        try:
            self._queue.enter(turn)
            self._settle()
            act()
        finally:
            turn.is_here = False
            self._queue.leave(turn)

    def checkpoint(self) -> None:
        """Moves the WAL into the file, for who has the turn."""
        if self._writer.held is not None:
            self._checkpoints.run(self._writer.held.driver)

    def disown(self) -> None:
        """In a forked child: nothing here is its own, and a transaction that it leaves must not be touched."""
        self._queue.disown()
        self._writer.disown()
        self._group = None

    def _commit_group(self, turn: Turn) -> None:
        """Answers the turn, and whoever could be taken along; leaves it unanswered when all must begin again."""
        if self._group is not None:
            # Left by an interrupted leader, which may have had this very turn in hand.
            self._settle()
            if turn.answer is not None:
                return
        group = self._group = Group(turn)
        try:
            if self._last_company and not turn.is_alone:
                self._queue.await_company(turn, self._last_company)
            held = self._begin(turn)
            self._run_works(group, held.statements)
            try:
                self._writer.commit(held, group.proof)
            except DatabaseUnavailableError as error:
                self._has_failed = True
                _give_all(group, error)
        except _TrustBrokenError:
            self._is_careful = True
        except _GroupBrokenError as broken:
            self._has_failed = True
            broken.turn.give(broken.error)
        except DatabaseUnavailableError:
            self._has_failed = True
            raise
        finally:
            # By the driver's own calls, which nothing can interrupt before they are done: an open transaction
            # would keep other processes waiting until this one writes again.
            try:
                if (open_one := self._writer.held) is not None and open_one.driver.in_transaction:
                    open_one.driver.execute("ROLLBACK")
            except sqlite3.Error:
                self._writer.close()
            self._settle()

    def _begin(self, turn: Turn) -> HeldConnection:
        if self._has_failed:
            # For want of room, perhaps. Once all of the WAL is in the file, which has had most of these pages before,
            # it starts over in the room that it has: so sessions can be removed on a disk that is full.
            self._has_failed = False
            self.checkpoint()
        return self._writer.begin(turn.deadline)

    def _run_works(self, group: Group, statements: Executor) -> None:
        """Runs the leader's work, then that of all who come meanwhile."""
        turns, outcomes = group.turns, group.outcomes
        unit = self._new_unit(statements)
        outcomes.append(Outcome(turns[0].work(unit), unit.events))
        if turns[0].is_alone:
            return
        self._queue.gather(turns)
        run_beside_others = self._run_in_savepoint if self._is_careful else self._run_on_trust
        while len(outcomes) < len(turns):
            outcomes.append(run_beside_others(turns[len(outcomes)], statements))
            self._queue.gather(turns)

    def _run_on_trust(self, turn: Turn, statements: Executor) -> Outcome[Any]:
        """Without a savepoint: works seldom fail, and with one nearly half of what a group executes is savepoints."""
        unit = self._new_unit(statements)
        try:
            return Outcome(turn.work(unit), unit.events)
        except Exception as error:
            raise _TrustBrokenError from error

    def _run_in_savepoint(self, turn: Turn, statements: Executor) -> Outcome[Any] | Exception:
        unit = self._new_unit(statements)
        try:
            return Outcome(unit.nest(turn.work), unit.events)
        except Exception as error:
            if not self._writer.in_transaction():
                raise _GroupBrokenError(turn, error) from error
            return error

    def _settle(self) -> None:
        """Ends what the last leader began, whether that is this thread or one that was interrupted."""
        group = self._group
        if group is None:
            return
        if not group.proof:
            if len(group.turns) > 1:
                self._queue.put_back(group.turns[1:])
            self._group = None
            return
        try:
            wal_bytes = self._file.verify()
        except DatabaseUnavailableError as error:
            _give_all(group, error)
        else:
            for turn, outcome in zip(group.turns, group.outcomes, strict=True):
                turn.give(outcome)
            self._last_company = len(group.turns) - 1
            if self._last_company:
                self._is_careful = any(isinstance(outcome, Exception) for outcome in group.outcomes)
            if self._checkpoints.is_due(wal_bytes):
                self.checkpoint()
        self._group = None


class _TrustBrokenError(Exception):
    """A work failed beside others, without a savepoint; the group begins again, with one for each."""


class _GroupBrokenError(Exception):
    """SQLite ended the transaction of a whole group because of one work in it; the others begin again."""

    def __init__(self, turn: Turn, error: Exception) -> None:
        super().__init__()
        self.turn = turn
        self.error = error


def _give_all(group: Group, error: Exception) -> None:
    """Each its own copy, for a traceback belongs to one thread; who has an error of its own keeps that."""
    for turn, outcome in zip(group.turns, group.outcomes, strict=True):
        turn.give(outcome if isinstance(outcome, Exception) else copy.copy(error))
