"""Workers that are killed at random moments and replaced, and sessions whose workers always die."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sessionstore import SessionManager
from tests.concurrency import ask, manager_on
from tests.faults.killed_workers.checks import (
    SCENES,
    Attempts,
    Damage,
    are_completed,
    bill_of,
    carry_on_until,
    damage_of,
    price_of,
    story,
)
from tests.faults.killed_workers.crew import Crew
from tests.faults.killed_workers.person import Person
from tests.faults.killed_workers.points import Point
from tests.faults.killed_workers.service import Service
from tests.faults.tally import Extent, Tally

WORKERS = 4
KILLS, LONG_KILLS = 12, 200
# Workers dawdle for half of that at each of some 60 points of a session, and are killed somewhere in it.
LONGEST_PAUSE_SECONDS = 0.01
LONGEST_LIFE_SECONDS = 0.5
FIRST_SESSIONS = 24
# More than there are workers, so that nobody who is killed was idle.
WAITING_SESSIONS = 8
# What one kill takes with its replacement on two busy cores, several times over.
SECONDS_FOR_A_KILL = 4


class Queue:
    """Sessions of both kinds in turn, made as they are used up."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self.session_ids: list[str] = []
        self.fill(FIRST_SESSIONS)

    def fill(self, count: int = WAITING_SESSIONS) -> None:
        pending = self._manager.get_performance_stats()["status_breakdown"].get("pending", 0)
        for _ in range(count - pending):
            kind = "plain" if len(self.session_ids) % 2 else "repeatable"
            self.session_ids.append(self._manager.create_session(story(), metadata={"kind": kind}))


@pytest.mark.timeout(LONG_KILLS * SECONDS_FOR_A_KILL + 300)
def test_workers_killed_at_random_moments_lose_no_scene_and_buy_none_twice(
    database: Path, service: Service, extent: Extent, chance: random.Random, tally: Tally
) -> None:
    kills = extent(KILLS, LONG_KILLS)
    began = time.monotonic()
    deadline = began + 60 + kills * SECONDS_FOR_A_KILL
    with ExitStack() as stack:
        manager = stack.enter_context(manager_on(database, recovery_interval=None))
        queue, person, attempts = Queue(manager), Person(manager, service), Attempts(database)
        crew = stack.enter_context(
            Crew(database, service, WORKERS, longest_pause_seconds=LONGEST_PAUSE_SECONDS, durability="normal")
        )

        def carry_on() -> None:
            crew.replace_dead()
            attempts.look()
            person.settle()

        def carry_on_with_more() -> None:
            carry_on()
            queue.fill()

        while crew.deaths < kills:
            assert time.monotonic() < deadline, f"only {crew.deaths} workers were killed in time"
            # Sometimes all at once, as when a machine runs out of memory.
            victims = chance.sample(crew.workers, min(chance.choice([1, 1, 1, WORKERS]), kills - crew.deaths))
            for victim in victims:
                carry_on_until(victim.has_claimed, carry_on_with_more, seconds=60, what=f"{victim.name} to work")
            # The one wait that is for a time: the moment is what is drawn.
            time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
            crew.kill(victims)
            carry_on_with_more()
        carry_on_until(
            lambda: are_completed(manager, queue.session_ids), carry_on, seconds=60, what="the rest to be completed"
        )
        crew.dismiss()
        attempts.check_history()
        session_ids, acknowledged = queue.session_ids, crew.acknowledged()
        damage = damage_of(manager, service, session_ids, acknowledged)
        tally(
            "workers killed at random",
            f"{crew.deaths} kills",
            f"{len(acknowledged)} scenes of {len(session_ids)} sessions acknowledged, {len(damage.lost)} lost, "
            f"{len(damage.bought_twice)} bought twice; {person.attached} held calls attached and {person.allowed} "
            f"made again, {time.monotonic() - began:.0f} s",
        )
    assert crew.deaths == kills
    assert damage == Damage()
    assert bill_of(database, set(session_ids)) == price_of(SCENES * len(session_ids))
    assert ask(database, "SELECT count(*) FROM provider_calls WHERE is_repeatable AND held_at > ''") == [(0,)]
    crashes = ask(database, "SELECT count(*) FROM runs WHERE outcome = 'crashed'")
    assert 0 < crashes[0][0] <= kills


@pytest.fixture
def manager_of_three_attempts(database: Path) -> Iterator[SessionManager]:
    with manager_on(database, recovery_interval=None, max_attempts=3) as manager:
        yield manager


def poisoned(manager: SessionManager, deaths: int) -> str:
    """A session whose first workers die as soon as they have claimed it."""
    will = {"die_at": Point.CLAIMED, "in_scene": None, "deaths": deaths}
    return manager.create_session(story(), metadata={"kind": "plain", **will})


def test_a_session_whose_workers_die_three_times_is_failed_and_stands_in_nobodys_way(
    manager_of_three_attempts: SessionManager, database: Path, service: Service
) -> None:
    manager = manager_of_three_attempts
    spared, failed = poisoned(manager, deaths=2), poisoned(manager, deaths=3)
    sound = manager.create_session(story(), metadata={"kind": "plain"})
    with Crew(database, service, 1, max_attempts=3) as crew:

        def is_over() -> bool:
            return are_completed(manager, [spared, sound]) and bool(manager.get_sessions_by_status("failed"))

        carry_on_until(is_over, crew.replace_dead, seconds=60, what="two to be completed, and one failed")
        session = manager.get_session(failed)
        assert session is not None
        assert (session.status, session.attempt, session.scenes) == ("failed", 3, [])
        ((worker,),) = ask(database, "SELECT worker FROM runs WHERE session_id = ? AND attempt = 3", failed)
        assert session.error_message == (
            "its workers died 3 times in a row, as often as max_attempts allows; the last was attempt 3 of worker "
            f"{worker!r} (its process died); retry_session() tries again"
        )
        assert crew.deaths == 5
        assert manager.retry_session(failed)
        carry_on_until(
            lambda: are_completed(manager, [failed]), crew.replace_dead, seconds=60, what="the retry to be completed"
        )
        crew.dismiss()
    assert [crew.deaths_in(session_id) for session_id in (spared, failed, sound)] == [2, 3, 0]
    assert damage_of(manager, service, [spared, failed, sound], crew.acknowledged()) == Damage()
