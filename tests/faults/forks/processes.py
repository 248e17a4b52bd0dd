"""The parents of forked children: `python -m tests.faults.forks.processes WAY DATABASE ROUNDS`.

Each round forks in one way and says what became of the child; at the end, what the parent still has.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sessionstore import DatabaseUnavailableError, SessionManager, SessionManagerError
from sessionstore.persistence.engines import forks
from sessionstore.testing import create_test_session_manager
from sessionstore.testing.contract.lifecycle import CALLS
from tests.concurrency import PATIENCE_SECONDS, Caller, manager_on, request, scene, wait_until
from tests.workers import Worker, say

# Far more than any child takes; one that hangs dies of it.
CHILD_SECONDS = 20
LEASE_SECONDS = 5


class ForkingWorker(Worker):
    """A process of this module."""

    module = "tests.faults.forks.processes"
    patience_seconds = 900


def child_of_now(act: Callable[[], object], *, ends_normally: bool = False) -> str:
    """Forks; what `act` gave in the child or how it was refused, or of what the child died.

    A child that ends normally does so by the interpreter's end, with whatever that finalizes.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(CHILD_SECONDS)
        try:
            said = str(act())
        except SessionManagerError as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        if ends_normally:
            sys.exit(0)
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said if status == 0 else f"died of {os.waitstatus_to_exitcode(status)} after {said!r}"


class Parent:
    """A process with a manager, and the ways in which it forks; each returns what became of the child."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.pid = os.getpid()
        self.manager = manager_on(database, durability="normal", recovery_interval=0.2)
        self.names = iter(range(1_000_000))
        self.acknowledged: list[str] = []

    def write(self) -> str:
        name = self.manager.create_session(request(), session_id=f"parent-{next(self.names)}")
        self.acknowledged.append(name)
        return name

    def in_own_manager(self, name: str = "child") -> str:
        """What a child may do: make a manager of its own, and write."""
        with manager_on(self.database, durability="normal", lock_timeout=5) as own:
            own.create_session(request(), session_id=f"{name}-{next(self.names)}")
        return "works"

    def before_use(self) -> str:
        with manager_on(self.database):
            return child_of_now(self.in_own_manager)

    def after_use(self) -> str:
        self.write()
        return child_of_now(self.in_own_manager)

    def while_threads_write(self) -> str:
        with self._busy_threads():
            return child_of_now(self.in_own_manager)

    def in_a_callback(self) -> str:
        said: list[str] = []

        def callback(*_: object) -> None:
            said.append(child_of_now(self.in_own_manager))

        self.manager.register_session_callback("created", callback)
        self.write()
        self.manager.unregister_session_callback("created", callback)
        return said[0]

    def inside_a_transaction(self) -> str:
        with self.manager.transaction():
            self.write()
            return child_of_now(self.in_own_manager)

    def beside_a_long_transaction(self) -> str:
        has_it, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with self.manager.transaction():
                self.write()
                has_it.set()
                let_go.wait(PATIENCE_SECONDS)

        holder = Caller(hold)
        has_it.wait()
        try:
            return child_of_now(self.in_own_manager, ends_normally=True)
        finally:
            if os.getpid() == self.pid:
                let_go.set()
                holder.finish()

    def with_a_lease_and_watchers(self) -> str:
        """The child ends as an ordinary process; the run that it inherited goes on in the parent only."""
        session_id = self.write()
        watched = self.manager.watch(session_id)
        next(watched)
        heard: list[str] = []

        def callback(session_id: str, _: object) -> None:
            heard.append(session_id)

        self.manager.register_session_callback("completed", callback, every_process=True)
        run = self.manager.track(session_id, "parent", lease_seconds=LEASE_SECONDS)
        said = child_of_now(self.in_own_manager, ends_normally=True)
        run.add_scene(scene(1))
        run.complete()
        assert list(watched)[-1].status == "completed"
        wait_until(lambda: session_id in heard, "the callback")
        self.manager.unregister_session_callback("completed", callback)
        return said

    def and_ends_normally(self) -> str:
        """With a manager left open, and helpers of the tests that clear up at the end of their own process."""
        temporary = create_test_session_manager()
        temporary.create_session(request())

        def leave_one_open() -> str:
            manager_on(self.database, lock_timeout=5).create_session(request(), session_id=f"child-{next(self.names)}")
            return "works"

        said = child_of_now(leave_one_open, ends_normally=True)
        assert temporary.get_session_count() == 1
        temporary.shutdown()
        return said

    def with_the_parents_manager(self) -> str:
        """Every call of it is refused, without waiting for anything."""
        calls: dict[str, Callable[[SessionManager], object]] = {**CALLS, "shutdown": SessionManager.shutdown}

        def refusals() -> str:
            for name, call in calls.items():
                try:
                    call(self.manager)
                except DatabaseUnavailableError:
                    continue
                return f"{name} was not refused"
            return "refuses all"

        with self._busy_threads():
            return child_of_now(refusals)

    def inside_a_call_that_goes_on(self) -> str:
        """The child leaves the parent's transaction, or lock, in its turn: it changes nothing."""
        return " and ".join((self._leaving(self._in_block), self._leaving(self._in_lock)))

    def a_grandchild(self) -> str:
        def child() -> str:
            with manager_on(self.database, durability="normal", lock_timeout=5) as own:
                own.create_session(request(), session_id=f"child-{next(self.names)}")
                refused = child_of_now(own.get_session_count)
                works = child_of_now(lambda: self.in_own_manager("grandchild"), ends_normally=True)
                own.create_session(request(), session_id=f"child-{next(self.names)}")
            return f"{works}, and {refused}"

        return child_of_now(child)

    def by_multiprocessing(self) -> str:
        said = []
        for method in ("fork", "forkserver", "spawn"):
            context: Any = multiprocessing.get_context(method)
            with self._busy_threads():
                process = context.Process(target=write_once, args=(self.database, f"child-{next(self.names)}"))
                process.start()
                process.join(CHILD_SECONDS)
            said.append(f"{method}: {process.exitcode}")
        return ", ".join(said)

    @contextmanager
    def _busy_threads(self) -> Iterator[None]:
        session_id, stop = self.write(), threading.Event()

        def write() -> None:
            while not stop.is_set():
                self.manager.update_session_progress(session_id, 1, 2, "x")

        def read() -> None:
            while not stop.is_set():
                self.manager.get_session(session_id)

        callers = [Caller(act) for act in (write, write, read, read)]
        time.sleep(0.02)
        try:
            yield
        finally:
            stop.set()
            for caller in callers:
                caller.finish()

    def _leaving(self, go_in: Callable[[int, str], None]) -> str:
        reading, writing = os.pipe()
        session_id = self.write()
        try:
            go_in(writing, session_id)
        except KeyError:
            pass  # The parent's: undone.
        except DatabaseUnavailableError:
            os.write(writing, b"its end refused")
        if os.getpid() != self.pid:
            os._exit(0)
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:
            said = pipe.read()
        session = self.manager.get_session(session_id)
        assert session is not None
        assert session.metadata == {}
        return said

    def _in_block(self, writing: int, session_id: str) -> None:
        with self.manager.transaction():
            self.manager.atomic_session_update(session_id, {"metadata": {"by": "both"}})
            self._go_on_in_child(writing)

    def _in_lock(self, writing: int, session_id: str) -> None:
        def operation(session: object) -> None:
            self._go_on_in_child(writing)

        self.manager.with_session_lock(session_id, operation)

    def _go_on_in_child(self, writing: int) -> None:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            raise KeyError("undone")
        signal.alarm(CHILD_SECONDS)
        try:
            self.write()
        except DatabaseUnavailableError:
            os.write(writing, b"refused, ")


def write_once(database: Path, name: str) -> None:
    """The target of a child that another process starts."""
    signal.alarm(CHILD_SECONDS)
    with manager_on(database, lock_timeout=5) as own:
        own.create_session(request(), session_id=name)


def open_and_close(database: Path) -> None:
    """A foreign program, the last to close a database if nobody else holds it: SQLite puts the WAL away then."""
    statements = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM sessions'); c.close()"
    subprocess.run([sys.executable, "-c", statements, database], check=True)


if __name__ == "__main__":
    way, path, rounds, *control = sys.argv[1:]
    if control == ["unprotected"]:
        # A fork waits for nobody then, and the child thinks that it may open the database.
        vars(forks)["_all_stores"] = list
    parent = Parent(Path(path))
    for _ in range(int(rounds)):
        parent.write()
        say(said := getattr(parent, way)())
        open_and_close(parent.database)
        parent.write()
        if control and said != "works":
            break
    is_closed = parent.manager.shutdown(timeout=10)
    say(f"parent: {len(parent.acknowledged)} acknowledged, closed {is_closed}")
