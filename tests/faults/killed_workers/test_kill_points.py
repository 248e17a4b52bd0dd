"""At every named point of a run and of a paid call: the worker is killed there, and others go on.

Four workers at a time share one database, in which each session stands for one point and one kind of provider. All
of them are killed and replaced until there was a death at each point, and every session is completed; then each test
looks at its own session.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

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
from tests.faults.tally import Tally

# The long run kills three workers in a row at each point that is passed again: some 150 processes on two cores.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("killed at every point")]

# Of a plain provider: nobody can tell whether it was paid from the moment of the intention to that of the job's id.
AMBIGUOUS = {
    Point.INTENDED,
    Point.HALF_SENT,
    Point.ACCEPTED,
    Point.SUBMIT_ANSWERED,
    Point.JOB_WRITTEN,
}
# Where a worker without a ledger has paid for a scene of which nothing is saved.
BUYS_TWICE = (Point.ACCEPTED, Point.STILL_RUNNING, Point.SCENE_WRITTEN)
BUYS_ONCE = (Point.INTENDED, Point.SCENE_SAVED)


@dataclass
class Aftermath:
    """What is left when all have been killed and all is done."""

    database: Path
    deaths: int
    found: str
    damage: dict[tuple[str, Point], Damage]
    sessions: dict[tuple[str, Point], str]
    held: set[str]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, service: Service, is_long: bool) -> Iterator[Aftermath]:
    database = tmp_path_factory.mktemp("kill-points") / "sessions.db"
    wanted = [(kind, point) for kind in ("plain", "repeatable") for point in Point]
    wanted += [("naive", point) for point in BUYS_TWICE + BUYS_ONCE]
    began = time.monotonic()
    with (
        manager_on(database, recovery_interval=None) as manager,
        Crew(database, service, 4, durability="normal") as crew,
    ):
        sessions = {
            (kind, point): manager.create_session(
                story(),
                metadata={"kind": kind, "die_at": point, "in_scene": 2, "deaths": 3 if is_long else 1},
            )
            for kind, point in wanted
        }
        person = Person(manager, service)

        def carry_on() -> None:
            crew.replace_dead()
            person.settle()

        def is_over() -> bool:
            deaths = [crew.deaths_in(session_id) for session_id in sessions.values()]
            return all(deaths) and crew.deaths == sum(deaths) and are_completed(manager, sessions.values())

        carry_on_until(is_over, carry_on, seconds=500 if is_long else 100, what="all to be killed, and all completed")
        crew.dismiss()
        acknowledged = crew.acknowledged()
        Attempts(database).check_history()
        yield Aftermath(
            database=database,
            deaths=crew.deaths,
            found=f"{len(acknowledged)} scenes of {len(sessions)} sessions acknowledged, {person.attached} held calls "
            f"attached and {person.allowed} made again, {time.monotonic() - began:.0f} s",
            damage={
                key: damage_of(manager, service, [session_id], acknowledged) for key, session_id in sessions.items()
            },
            sessions=sessions,
            held=crew.held(),
        )


@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("kind", ["plain", "repeatable"])
def test_a_worker_that_is_killed_there_costs_no_scene_and_no_money(
    aftermath: Aftermath, kind: str, point: Point
) -> None:
    session_id = aftermath.sessions[kind, point]
    assert aftermath.damage[kind, point] == Damage()
    assert bill_of(aftermath.database, {session_id}) == price_of(SCENES)


@pytest.mark.parametrize("point", Point)
def test_a_call_is_held_exactly_where_nobody_can_tell_whether_it_was_paid(aftermath: Aftermath, point: Point) -> None:
    assert (aftermath.sessions["plain", point] in aftermath.held) is (point in AMBIGUOUS)


def test_a_call_that_can_be_repeated_is_never_held(aftermath: Aftermath, tally: Tally) -> None:
    tally(f"workers killed at {len(Point)} points", f"{aftermath.deaths} kills", aftermath.found)
    repeatable = {session_id for (kind, _), session_id in aftermath.sessions.items() if kind == "repeatable"}
    assert not aftermath.held & repeatable
    assert ask(aftermath.database, "SELECT count(*) FROM provider_calls WHERE is_repeatable AND held_at > ''") == [(0,)]


@pytest.mark.parametrize("point", BUYS_TWICE)
def test_a_worker_without_the_ledger_that_is_killed_there_buys_twice(aftermath: Aftermath, point: Point) -> None:
    """The control: the provider counts, and the same look at it finds what must not be."""
    assert aftermath.damage["naive", point].bought_twice == [(aftermath.sessions["naive", point], 2)]


@pytest.mark.parametrize("point", BUYS_ONCE)
def test_a_worker_without_the_ledger_that_is_killed_elsewhere_buys_once(aftermath: Aftermath, point: Point) -> None:
    assert aftermath.damage["naive", point] == Damage()
