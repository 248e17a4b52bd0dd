"""A fork in each way that programs fork in: the child works or is refused, clearly and at once; the parent goes on."""

from pathlib import Path

import pytest

from tests.concurrency import ask
from tests.faults.forks.processes import ForkingWorker
from tests.faults.tally import Extent, Tally

ROUNDS, LONG_ROUNDS = 1, 50
# Unprotected, nearly every second fork beside busy threads does harm; the first that does is enough.
CONTROL_ROUNDS = 40

INHERITED = (
    "DatabaseUnavailableError: this manager was opened before a fork, and its connections belong to the parent "
    "process; make a new SessionManager in this one"
)
IN_USE = (
    "DatabaseUnavailableError: this process was forked inside a transaction of its parent, or beside a call that did "
    "not end within 1 s, and inherited its locks; fork at another time, or use spawn or forkserver"
)
WAYS = {
    "before_use": "works",
    "after_use": "works",
    "while_threads_write": "works",
    "in_a_callback": "works",
    "inside_a_transaction": IN_USE,
    "beside_a_long_transaction": IN_USE,
    "with_a_lease_and_watchers": "works",
    "and_ends_normally": "works",
    "with_the_parents_manager": "refuses all",
    "inside_a_call_that_goes_on": "refused, its end refused and refused, its end refused",
    "a_grandchild": f"works, and {INHERITED}",
    "by_multiprocessing": "fork: 0, forkserver: 0, spawn: 0",
}


def damage_after(database: Path, last_word: str) -> list[str]:
    """What is wrong with the parent's sessions after all that, and with its leases."""
    ((count,),) = ask(database, "SELECT count(*) FROM sessions WHERE session_id LIKE 'parent-%'")
    found = [] if last_word == f"parent: {count} acknowledged, closed True" else [f"{count} are there, {last_word!r}"]
    if (integrity := ask(database, "PRAGMA integrity_check")) != [("ok",)]:
        found.append(str(integrity))
    if ended := ask(database, "SELECT session_id, attempt, outcome FROM runs WHERE outcome IS NOT 'completed'"):
        found.append(f"runs that did not go on in the parent: {ended}")
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_a_child_works_or_is_refused_and_its_parent_loses_nothing(
    database: Path, way: str, extent: Extent, tally: Tally
) -> None:
    rounds = extent(ROUNDS, LONG_ROUNDS)
    with ForkingWorker(way, database, rounds) as parent:
        *children, last_word = parent.rest()
    harmed = [said for said in children if said != WAYS[way]]
    damage = damage_after(database, last_word)
    tally(
        f"fork, {way.replace('_', ' ')}",
        f"{rounds} forks",
        f"{len(harmed)} children harmed, parent: {damage or 'well'}",
    )
    assert (len(children), harmed) == (rounds, [])
    assert damage == []


@pytest.mark.timeout(300)
def test_control_a_fork_that_waits_for_nobody_leaves_children_that_cannot_write_or_hang(database: Path) -> None:
    with ForkingWorker("while_threads_write", database, CONTROL_ROUNDS, "unprotected") as parent:
        *children, _ = parent.rest()
    harmed = [said for said in children if said != "works"]
    assert harmed
    assert all(said.startswith(("SessionLockError", "died of -14")) for said in harmed), harmed
