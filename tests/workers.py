"""Other processes for the tests: `python -m tests.workers NAME DATABASE ...`, and the handle to talk to one.

A worker prints one line for each thing it reports and waits on its standard input where the test decides.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from sessionstore import DatabaseUnavailableError, GenerationSession, SessionManager
from sessionstore.operations.retention import clean_up_expired, prune_history
from sessionstore.persistence.engines.sqlite import guard
from tests.concurrency import ask, engine_of, manager_on, request, scene

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 40


class Worker:
    """A process of `module` under test; killed at the end of the block if it still runs."""

    module = "tests.workers"
    patience_seconds: float = PATIENCE_SECONDS

    def __init__(self, name: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", self.module, name, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._timer = threading.Timer(self.patience_seconds, self._process.kill)
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._timer.cancel()
        self._timer.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def line(self) -> str:
        """The next report; empty when there are no more."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def expect(self, report: str) -> None:
        line = self.line()
        assert line == report, f"the worker said {line!r}"

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def rest(self) -> list[str]:
        """All further reports; the worker has ended then, and ended well."""
        assert self._process.stdout is not None
        lines = [line.strip() for line in self._process.stdout]
        assert self._process.wait(PATIENCE_SECONDS) == 0, lines
        return lines

    def kill(self) -> None:
        """kill -9, as the kernel or an operator does it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)

    def reports_after_kill(self) -> list[str]:
        """What it had reported when it died; a line that was cut off does not count."""
        self.kill()
        assert self._process.stdout is not None
        return [line.strip() for line in self._process.stdout if line.endswith("\n")]


def say(report: object) -> None:
    """One write for the whole line, so that threads do not write into each other's."""
    os.write(sys.stdout.fileno(), f"{report}\n".encode())


def wait_for_go() -> None:
    if sys.stdin.readline() != "go\n":
        sys.exit("the test went away")


def meet(database: Path, name: str, count: str) -> None:
    """Opens together with others, writes its own sessions and a shared counter, then counts what all wrote."""

    def add_one(session: GenerationSession) -> None:
        session.metadata["count"] = session.metadata.get("count", 0) + 1

    say("ready")
    wait_for_go()
    with manager_on(database, lock_timeout=30) as manager:
        shared = manager.create_session(request(), session_id="shared")
        for number in range(int(count)):
            own = manager.create_session(request(), session_id=f"{name}-{number}")
            manager.add_scene_to_session(own, scene(1))
            manager.with_session_lock(shared, add_one)
        say("written")
        wait_for_go()
        session = manager.get_session(shared)
        assert session is not None
        say(f"{manager.get_session_count()} sessions, counter {session.metadata['count']}")


def churn(database: Path, name: str, rounds: str) -> None:
    """Opens, writes and closes again and again, while others do too."""
    say("ready")
    wait_for_go()
    for number in range(int(rounds)):
        with manager_on(database, lock_timeout=30) as manager:
            manager.create_session(request(), session_id=f"{name}-{number}")
    say("done")


def compete(database: Path, name: str, seconds: str) -> None:
    """Writes as fast as it can beside others, one write in ten under a lock; says how many it got."""
    with manager_on(database, lock_timeout=30) as manager:
        session_id = manager.create_session(request(), session_id=name)
        say("ready")
        wait_for_go()
        end, count = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            count += 1
            if count % 10:
                manager.add_scene_to_session(session_id, scene(count))
            else:
                manager.with_session_lock(
                    session_id, lambda session: session.metadata.update(count=len(session.scenes))
                )
        say(count)


def tidy(database: Path, events: str, sessions: str) -> None:
    """Sums up, buries what is finished and prunes, so many rows at a time, until told to stop.

    Nothing is kept for longer than a millisecond. Says once that it had some of each to do.
    """
    nothing_is_kept = dict.fromkeys(
        ("completed_retention_hours", "failed_retention_hours", "event_retention_days", "tombstone_retention_days"), 0
    )
    stop, done = threading.Event(), [0, 0, 0]

    def wait_for_the_end() -> None:
        wait_for_go()
        stop.set()

    with manager_on(
        database, lock_timeout=30, summary_interval=None, cleanup_batch_sessions=int(sessions), **nothing_is_kept
    ) as manager:
        store, has_said_so = manager._store, False
        say("ready")
        wait_for_go()
        threading.Thread(target=wait_for_the_end, daemon=True).start()
        while not stop.is_set():
            done[0] += store.engine.write(lambda unit: unit.totals.sum_up(int(events)))
            done[1] += clean_up_expired(store, should_stop=stop.is_set)
            done[2] += prune_history(store, should_stop=stop.is_set)
            if all(done) and not has_said_so:
                has_said_so = True
                say("some of each")


def careless(database: Path, is_guarded: str) -> None:
    """Writes, reads the database file as a file, lets others open and close it, and writes on."""
    if is_guarded == "no":
        guard._lock_files = lambda path: []
    manager = manager_on(database)
    for number in range(20):
        manager.create_session(request(), session_id=f"before-{number}")
    for suffix in ("", "-shm"):
        with open(f"{database}{suffix}", "rb") as file:
            file.read(16)
    say("written")
    wait_for_go()
    acknowledged = 20
    for number in range(20):
        try:
            manager.create_session(request(), session_id=f"after-{number}")
            acknowledged += 1
        except DatabaseUnavailableError:
            break
    say(acknowledged)
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(check: Callable[[], object], seconds: float = 15) -> None:
    """Forks; the child runs `check` and reports its result or error, or that it never came back."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            say(f"child: {check()}")
        except BaseException as error:  # noqa: BLE001 - reported to the test
            traceback.print_exc()
            say(f"child: {type(error).__name__}")
        finally:
            os._exit(0)
    deadline = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            say("child: hangs")
            return
        time.sleep(0.01)


def fork(database: Path, what: str) -> None:
    """What a forked child may and may not do while its parent uses the store."""
    manager = manager_on(database)
    manager.create_session(request(), session_id="parent-before")

    def use_own() -> int:
        with manager_on(database, lock_timeout=5) as own:
            own.create_session(request(), session_id="child")
            return own.get_session_count()

    calls: dict[str, Callable[[], object]] = {
        "read": lambda: manager.get_session("parent-before"),
        "write": lambda: manager.create_session(request()),
        "lock": lambda: manager.with_session_lock("parent-before", lambda session: None),
        "check": manager.check,
        "shutdown": lambda: manager.shutdown(timeout=5),
        "own": use_own,
    }
    if what == "own-while-writing":
        _fork_while_others_write(manager, use_own)
    elif what == "own-while-locked":
        _fork_while_another_holds_the_lock(manager, use_own)
    else:
        in_child(calls[what])
    manager.create_session(request(), session_id="parent-after")
    rows = ask(database, "SELECT session_id FROM sessions ORDER BY 1")
    say(f"parent: {[session_id for (session_id,) in rows]}")
    say(f"parent: {manager.shutdown(timeout=5)}")


def fork_inside(database: Path, how: str) -> None:
    """Forks inside a transaction or a callback; the child goes on in it, the parent undoes it."""
    manager = manager_on(database)

    def go_on_in_child() -> str:
        try:
            manager.create_session(request(), session_id="child")
        except DatabaseUnavailableError:
            return "refused"
        return "written"

    def in_block() -> None:
        with manager.transaction():
            manager.create_session(request(), session_id="both")
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                raise KeyError("undone")
            say(f"child: {go_on_in_child()}")

    def in_lock() -> None:
        def operation(session: GenerationSession) -> None:
            session.metadata["by"] = "both"
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                raise KeyError("undone")
            say(f"child: {go_on_in_child()}")

        manager.with_session_lock("before", operation)

    def in_callback() -> None:
        def callback(session_id: str, session: GenerationSession) -> None:
            in_child(go_on_in_child)

        manager.register_session_callback("created", callback)
        manager.create_session(request(), session_id="with-callback")
        manager.unregister_session_callback("created", callback)

    manager.create_session(request(), session_id="before")
    parent = os.getpid()
    try:
        {"block": in_block, "lock": in_lock, "callback": in_callback}[how]()
    except KeyError:
        pass
    except DatabaseUnavailableError:
        say("child: its end refused")
    if os.getpid() != parent:
        os._exit(0)
    sessions = ask(database, "SELECT session_id, metadata FROM sessions ORDER BY session_id")
    say(f"parent: {sessions}")
    say(f"parent: {manager.create_session(request(), session_id='after')}")
    say(f"parent: {manager.shutdown()}")


def _fork_while_others_write(manager: SessionManager, use_own: Callable[[], int]) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            manager.update_session_progress("parent-before", 1, 2, "x")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    in_child(lambda: use_own() >= 2)
    stop.set()
    for thread in threads:
        thread.join()


def _fork_while_another_holds_the_lock(manager: SessionManager, use_own: Callable[[], int]) -> None:
    has_it, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with manager.transaction():
            manager.update_session_progress("parent-before", 1, 2, "x")
            has_it.set()
            let_go.wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait()
    in_child(use_own)
    let_go.set()
    thread.join()
    assert engine_of(manager)._queue._is_free()


if __name__ == "__main__":
    _, command, path, *rest = sys.argv
    commands: dict[str, Callable[..., None]] = {
        "meet": meet,
        "churn": churn,
        "compete": compete,
        "tidy": tidy,
        "careless": careless,
        "fork": fork,
        "fork_inside": fork_inside,
    }
    commands[command](Path(path), *rest)
