"""The queue by itself: who leads, who follows, in which order, and who is left when somebody goes away."""

import _thread
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sessionstore import SessionLockError
from sessionstore.persistence.engines.sqlite import queue as queue_module
from sessionstore.persistence.engines.sqlite.errors import lock_timeout_error
from sessionstore.persistence.engines.sqlite.queue import Turn, WriteQueue
from tests.concurrency import PATIENCE_SECONDS, Caller, wait_until


class Record:
    """A `lead` that answers everybody with their own work, and remembers the groups and who led them."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.leaders: list[int] = []

    def __call__(self, group: list[Turn]) -> None:
        self.groups.append([turn.work for turn in group])
        self.leaders.append(threading.get_ident())
        for turn in group:
            turn.give(turn.work)


def take_turn(queue: WriteQueue, turn: Turn, lead: Callable[[list[Turn]], None]) -> Any:
    """As a store does: leads the group that is there, or is led; the turn's answer."""
    turn.is_here = True
    group = [turn]
    try:
        queue.enter(turn)
        if turn.answer is None:
            if not turn.is_alone:
                queue.gather(group)
            try:
                lead(group)
            finally:
                queue.put_back(group[1:])
    finally:
        turn.is_here = False
        queue.leave(turn)
    return turn.answer


def submit(queue: WriteQueue, work: str, lead: Callable[[list[Turn]], None]) -> Any:
    return take_turn(queue, Turn(work, time.monotonic() + queue.lock_timeout), lead)


def write_alone(queue: WriteQueue, work: Callable[[], object]) -> None:
    turn = Turn(None, time.monotonic() + queue.lock_timeout, is_alone=True)
    take_turn(queue, turn, lambda group: group[0].give(work() or "done"))


class Alone:
    """Somebody who writes alone, until `leave`."""

    def __init__(self, queue: WriteQueue) -> None:
        self.leave = threading.Event()
        self.has_it = threading.Event()
        self._queue = queue
        self.caller = Caller(self._run)

    def _run(self) -> None:
        write_alone(self._queue, self._hold)

    def _hold(self) -> None:
        self.has_it.set()
        self.leave.wait(PATIENCE_SECONDS)


def queued(queue: WriteQueue, work: str, lead: Record) -> Caller:
    before = len(queue._waiting)
    caller = Caller(lambda: submit(queue, work, lead))
    wait_until(lambda: len(queue._waiting) > before)
    return caller


def has_waiting(queue: WriteQueue, count: int) -> bool:
    return len(queue._waiting) == count


def occupied(queue: WriteQueue) -> Alone:
    alone = Alone(queue)
    assert alone.has_it.wait(PATIENCE_SECONDS)
    return alone


def assert_free(queue: WriteQueue) -> None:
    assert (queue._owner, list(queue._waiting)) == (None, [])
    assert Caller(lambda: submit(queue, "next", Record())).finish() == "next"


def test_a_lone_writer_leads_itself_without_changing_thread() -> None:
    queue, lead = WriteQueue(1), Record()
    assert submit(queue, "a", lead) == "a"
    assert lead.groups == [["a"]]
    assert lead.leaders == [threading.get_ident()]


def test_those_who_queued_meanwhile_share_a_group_first_come_first_served() -> None:
    queue, lead = WriteQueue(30), Record()
    alone = occupied(queue)
    names = [f"w{number}" for number in range(10)]
    callers = [queued(queue, name, lead) for name in names]
    assert lead.groups == []
    alone.leave.set()
    assert [caller.finish() for caller in callers] == names
    assert lead.groups == [names]
    assert_free(queue)


def test_a_group_is_bounded_and_the_rest_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_GROUP", 3)
    queue, lead = WriteQueue(30), Record()
    alone = occupied(queue)
    callers = [queued(queue, str(number), lead) for number in range(7)]
    alone.leave.set()
    assert [caller.finish() for caller in callers] == [str(number) for number in range(7)]
    assert lead.groups == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_nobody_overtakes_a_thread_that_wants_to_write_alone() -> None:
    queue, lead = WriteQueue(30), Record()
    first = occupied(queue)
    early = queued(queue, "early", lead)
    before = len(queue._waiting)
    second = Alone(queue)
    wait_until(lambda: len(queue._waiting) > before)
    late = queued(queue, "late", lead)
    first.leave.set()
    assert second.has_it.wait(PATIENCE_SECONDS)
    assert early.finish() == "early"
    assert not late.is_done()
    second.leave.set()
    assert late.finish() == "late"
    assert lead.groups == [["early"], ["late"]]
    assert_free(queue)


def test_whoever_waits_too_long_gets_an_error_and_the_others_their_turn() -> None:
    queue, patient = WriteQueue(30), Record()
    alone = occupied(queue)
    queue.lock_timeout = 0.05
    hasty = Caller(lambda: submit(queue, "hasty", patient)).join()
    queue.lock_timeout = 30
    waiting = queued(queue, "waiting", patient)
    alone.leave.set()
    assert isinstance(hasty.error, SessionLockError)
    assert waiting.finish() == "waiting"
    assert patient.groups == [["waiting"]]
    assert_free(queue)


def test_a_follower_whose_work_is_in_hand_waits_past_its_deadline_for_the_answer() -> None:
    queue, lead = WriteQueue(30), Record()
    is_leading, go_on = threading.Event(), threading.Event()

    def slow(group: list[Turn]) -> None:
        is_leading.set()
        assert go_on.wait(PATIENCE_SECONDS)
        lead(group)

    alone = occupied(queue)
    leader = Caller(lambda: submit(queue, "leader", slow))
    wait_until(lambda: len(queue._waiting) == 1)
    queue.lock_timeout = 0.2
    follower = queued(queue, "follower", lead)
    deadline = queue._waiting[1].deadline
    alone.leave.set()
    assert is_leading.wait(PATIENCE_SECONDS)
    wait_until(lambda: time.monotonic() > deadline)
    assert not follower.is_done()
    go_on.set()
    assert (leader.finish(), follower.finish()) == ("leader", "follower")
    assert lead.groups == [["leader", "follower"]]


def test_when_a_leader_fails_those_it_did_not_answer_are_led_by_the_next_in_their_order() -> None:
    queue, lead = WriteQueue(30), Record()

    def fail_after_one_answer(group: list[Turn]) -> None:
        assert [turn.work for turn in group] == ["bad", "a", "b", "c"]
        group[1].give("answered")
        raise ValueError("bad")

    alone = occupied(queue)
    bad = Caller(lambda: submit(queue, "bad", fail_after_one_answer))
    wait_until(lambda: len(queue._waiting) == 1)
    callers = [queued(queue, name, lead) for name in "abc"]
    alone.leave.set()
    assert [caller.finish() for caller in callers] == ["answered", "b", "c"]
    assert isinstance(bad.join().error, ValueError)
    assert lead.groups == [["b", "c"]]
    assert_free(queue)


def test_each_gets_its_own_error() -> None:
    queue = WriteQueue(30)

    def refuse(group: list[Turn]) -> None:
        for turn in group:
            turn.give(ValueError(turn.work))

    alone = occupied(queue)
    callers = []
    for number, name in enumerate("abc", 1):
        callers.append(Caller(partial(submit, queue, name, refuse)))
        wait_until(partial(has_waiting, queue, number))
    alone.leave.set()
    errors = [caller.finish() for caller in callers]
    assert [str(error) for error in errors] == ["a", "b", "c"]


def test_under_a_storm_everybody_is_answered_once_and_the_queue_is_left_empty() -> None:
    queue = WriteQueue(30)
    done: list[str] = []

    def lead(group: list[Turn]) -> None:
        for turn in group:
            done.append(turn.work)
            turn.give(turn.work)

    def work(name: str) -> None:
        for number in range(100):
            if number % 10 == 0:
                write_alone(queue, partial(done.append, f"{name}-{number}"))
            else:
                assert submit(queue, f"{name}-{number}", lead) == f"{name}-{number}"

    callers = [Caller(partial(work, name)) for name in "abcdefgh"]
    for caller in callers:
        caller.finish()
    assert sorted(done) == sorted(f"{name}-{number}" for name in "abcdefgh" for number in range(100))
    # First come, first served: no thread's own writes overtake each other.
    for name in "abcdefgh":
        assert [each for each in done if each[0] == name] == [f"{name}-{number}" for number in range(100)]
    assert_free(queue)


def test_a_timeout_that_amounts_to_for_ever_can_be_waited_with() -> None:
    queue, lead = WriteQueue(1e12), Record()
    alone = occupied(queue)
    caller = Caller(lambda: submit(queue, "a", lead))
    wait_until(lambda: queue._waiting or caller.is_done())
    alone.leave.set()
    assert caller.finish() == "a"


def abandon(queue: WriteQueue, turn: Turn) -> None:
    """What an interruption at the worst moment leaves of a thread that writes: its mark is off, nobody was told."""
    turn.is_here = True
    queue.enter(turn)
    turn.is_here = False


def test_a_turn_that_an_interrupted_thread_left_behind_is_taken_over_by_who_comes() -> None:
    queue, lead = WriteQueue(1), Record()
    abandon(queue, Turn("gone", time.monotonic() + 1))
    assert submit(queue, "next", lead) == "next"
    assert_free(queue)


def test_a_turn_that_an_interrupted_thread_left_behind_is_taken_over_by_who_waits() -> None:
    queue, lead = WriteQueue(30), Record()
    gone = Turn("gone", time.monotonic() + 30)
    gone.is_here = True
    queue.enter(gone)
    callers = [queued(queue, name, lead) for name in "abc"]
    gone.is_here = False
    assert [caller.finish() for caller in callers] == ["a", "b", "c"]
    assert_free(queue)


def test_who_was_in_the_hands_of_an_interrupted_leader_takes_the_turn_over() -> None:
    queue, lead = WriteQueue(30), Record()
    gone = Turn("gone", time.monotonic() + 30)
    gone.is_here = True
    queue.enter(gone)
    follower = queued(queue, "follower", lead)
    queue.gather([gone])
    assert has_waiting(queue, 0)
    gone.is_here = False
    assert follower.finish() == "follower"
    assert_free(queue)


def test_a_leader_that_awaits_company_goes_on_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "COMPANY_SECONDS", PATIENCE_SECONDS)
    queue, lead = WriteQueue(30), Record()
    leader = Turn("leader", time.monotonic() + 30)
    leader.is_here = True
    queue.enter(leader)
    waiting = Caller(lambda: queue.await_company(leader, 2))
    first = queued(queue, "a", lead)
    assert not waiting.is_done()
    second = queued(queue, "b", lead)
    waiting.finish()
    leader.is_here = False
    queue.leave(leader)
    assert [first.finish(), second.finish()] == ["a", "b"]


def test_company_that_does_not_come_is_awaited_for_a_moment_only() -> None:
    queue = WriteQueue(30)
    leader = Turn("leader", time.monotonic() + 30)
    leader.is_here = True
    queue.enter(leader)
    Caller(lambda: queue.await_company(leader, 1)).finish()


def test_who_is_refused_is_not_taken_in_hand_in_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says nothing was changed must not be followed by the change."""
    queue, lead = WriteQueue(0.05), Record()
    gathered: list[list[Turn]] = []

    def gather_meanwhile(seconds: float) -> SessionLockError:
        group: list[Turn] = []
        Caller(lambda: queue.gather(group)).finish()
        gathered.append(group)
        return lock_timeout_error(seconds)

    monkeypatch.setattr(queue_module, "lock_timeout_error", gather_meanwhile)
    alone = occupied(queue)
    assert isinstance(Caller(lambda: submit(queue, "late", lead)).join().error, SessionLockError)
    assert gathered == [[]]
    alone.leave.set()


def test_the_next_in_the_queue_is_woken_and_does_not_find_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LOOK_AGAIN_SECONDS", 10 * PATIENCE_SECONDS)
    queue, lead = WriteQueue(20 * PATIENCE_SECONDS), Record()
    first = occupied(queue)
    second = queued(queue, "second", lead)
    first.leave.set()
    assert second.finish() == "second"


def test_a_finalizer_that_writes_while_its_thread_changes_the_queue_does_not_wait_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The garbage collector may end an abandoned transaction wherever something is allocated."""
    queue, lead = WriteQueue(30), Record()
    abandoned = Turn("abandoned", time.monotonic() + 30)

    class LockOfATurn:
        def __new__(cls) -> Any:
            queue.leave(abandoned)
            return _thread.allocate_lock()

    alone = occupied(queue)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Lock", LockOfATurn)
        turn = Turn("a", time.monotonic() + 30)
        turn.is_here = True
        entering = _thread.start_new_thread(queue.enter, (turn,))
        wait_until(lambda: turn in queue._waiting, f"thread {entering} to queue")
    alone.leave.set()
    wait_until(lambda: queue._owner is turn)
    turn.is_here = False
    queue.leave(turn)
    assert submit(queue, "b", lead) == "b"
