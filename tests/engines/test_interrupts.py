"""A call interrupted at every point in turn: the caller hears of it, and nobody else is left waiting."""

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from sessionstore import SessionManager, SessionManagerError
from tests.concurrency import Caller, Holder, ask, engine_of, manager_on, queue_up, request, wait_until
from tests.interruption import InterruptAt, Interruption, unraisable_ones

# Enough to see the pattern of a failure; each may cost a lock timeout.
MAX_PROBLEMS = 5
FOLLOWERS = ("b", "c", "d")
# A follower that has no answer by then never gets one.
ANSWER_SECONDS = 10


def lone_write(manager: SessionManager) -> None:
    manager.update_session_progress("a", 1, 2, "half")


def locked_change(manager: SessionManager) -> None:
    manager.with_session_lock("a", lambda session: session.metadata.update(n=1))


def joined_transaction(manager: SessionManager) -> None:
    with manager.transaction():
        manager.update_session_progress("a", 1, 2, "half")


def read(manager: SessionManager) -> None:
    manager.get_session("a")


def write_that_checkpoints(manager: SessionManager) -> None:
    engine_of(manager)._checkpoints._commits = 1_000_000
    manager.update_session_progress("a", 1, 2, "half")


OPERATIONS = [lone_write, locked_change, joined_transaction, read, write_that_checkpoints]


def interrupted_call(interruption: InterruptAt, call: Callable[[], object], is_kept: bool) -> object:
    """What the call raised on its thread: the exception itself, or only its type."""
    raised: list[object] = [None]

    def run() -> None:
        interruption.install()
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            sys.setprofile(None)
            raised[0] = error if is_kept else type(error)
        finally:
            sys.setprofile(None)

    Caller(run).finish()
    return raised[0]


def is_interruption(raised: object) -> bool:
    return raised is Interruption or isinstance(raised, Interruption)


def trouble_after(manager: SessionManager) -> list[str]:
    """What an interrupted call left behind, seen from other threads."""
    found = []
    try:
        Caller(partial(manager.update_session_progress, "a", 2, 2, "done")).finish()
    except Exception as error:  # noqa: BLE001 - it is the finding
        found.append(f"the next write raised {type(error).__name__}: {error}"[:120])
    gate = engine_of(manager).gate
    if not gate.shut(0):
        found.append("shutdown would wait for the call for ever")
    gate._shut = False
    return found


@pytest.mark.parametrize("is_kept", [False, True], ids=["exception dropped", "exception kept"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_interruption_at_any_point_of_a_call_reaches_the_caller_and_leaves_the_store_free(
    tmp_path: Path, operation: Callable[[SessionManager], None], is_kept: bool
) -> None:
    """Kept, as a future or an error report keeps it, an exception holds on to the frames it came through."""
    problems: list[str] = []
    first_point, opened = 1, 0
    while first_point and len(problems) < MAX_PROBLEMS:
        opened += 1
        found, first_point = interrupt_from(tmp_path / f"{opened}.db", operation, first_point, is_kept)
        problems += found
    # What the failed ones left is finalized here, not in the middle of reporting them.
    gc.collect()
    assert problems == []
    assert opened == 1


def interrupt_from(
    database: Path, operation: Callable[[SessionManager], None], point: int, is_kept: bool
) -> tuple[list[str], int]:
    """Interrupts at point after point until one leaves trouble; what, and the point after it (0: there are no more)."""
    manager = manager_on(database, lock_timeout=0.3, durability="normal")
    manager.create_session(request(), session_id="a")
    call = partial(operation, manager)
    for _ in range(2):
        call()
    found: list[str] = []
    with unraisable_ones() as unraisable:
        while not found:
            interruption = InterruptAt(point)
            raised = interrupted_call(interruption, call, is_kept)
            if interruption.where is None:
                assert manager.shutdown(timeout=5)
                return [], 0
            found = trouble_after(manager)
            if not is_interruption(raised) and not unraisable:
                found.append(f"the caller got {raised!r}"[:120])
            if found and is_kept and " __exit__" in interruption.where:
                # A `with` statement calls a method of ours to end its block. Interrupted at its very first step, the
                # method is in the exception's frames, and the block ends with the exception.
                raised = None
                gc.collect()
                found = trouble_after(manager)
            unraisable.clear()
            point += 1
        del raised
        with suppress(SessionManagerError):
            manager.shutdown(timeout=0.1)
    return [f"{interruption.where}: {each}" for each in found], point


def test_an_interruption_of_a_leader_at_any_point_costs_no_follower_its_write_and_applies_none_twice(
    database: Path,
) -> None:
    problems: list[str] = []
    point = 0
    manager = manager_on(database, lock_timeout=2, durability="normal")
    for name in ("a", *FOLLOWERS):
        manager.create_session(request(), session_id=name)
    with unraisable_ones() as unraisable:
        while len(problems) < MAX_PROBLEMS:
            point += 1
            interruption = InterruptAt(point)
            unraisable.clear()
            before = versions(database)
            raised, answers = lead_a_group(manager, interruption)
            if interruption.where is None:
                break
            found = [f"{name} got {answer!r}" for name, answer in answers.items() if answer is not True]
            after = versions(database)
            found += [
                f"{name} was applied {after[name] - before[name]} times"
                for name in FOLLOWERS
                if after[name] != before[name] + 1
            ]
            if not is_interruption(raised) and not unraisable:
                found.append(f"the leader got {raised!r}")
            problems += [f"{interruption.where}: {each}"[:160] for each in found]
            if "nothing" in answers.values():
                break
    gc.collect()
    assert problems == []
    assert manager.shutdown(timeout=5)


def lead_a_group(manager: SessionManager, interruption: InterruptAt) -> tuple[object, dict[str, object]]:
    """Has followers queue behind a leader that is interrupted; what the leader and each follower got."""
    waiting = engine_of(manager)._queue._waiting
    with Holder(manager):
        leader = Caller(partial(interrupted_call, interruption, partial(lone_write, manager), False))
        wait_until(lambda: waiting or leader.is_done())
        followers = queue_up(
            manager, *(partial(manager.update_session_progress, name, 1, 2, "x") for name in FOLLOWERS)
        )
    raised = leader.finish()
    answers: dict[str, object] = {}
    for name, follower in zip(FOLLOWERS, followers, strict=True):
        follower.thread.join(ANSWER_SECONDS)
        answers[name] = (follower.error or follower.result) if follower.is_done() else "nothing"
    return raised, answers


def versions(database: Path) -> dict[str, int]:
    """Each change of a session counts its version up by one."""
    return dict(ask(database, "SELECT session_id, version FROM sessions"))
