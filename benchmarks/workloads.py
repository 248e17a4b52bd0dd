"""What a worker does in a measured run: generations, scenes for a session that all share, or nothing but reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter
from typing import NamedTuple

from benchmarks.contestants.base import Contestant
from benchmarks.generation import STORY, run_generation, scene
from benchmarks.notes import Acknowledged, Notes

# 50: with 8 workers a session of 400 scenes, four times the longest story; long enough for them to get in each
# other's way, short enough for stores that write the whole session each time.
SHARED_SCENES = 50
# 200: more than one page of the cache, so that no read finds its session where the last one left it.
SESSIONS_TO_READ = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """One worker's part of a run: until when, which worker it is, and the sessions that were there before."""

    deadline: float
    worker: int
    session_ids: tuple[str, ...]

    def is_over(self) -> bool:
        return perf_counter() >= self.deadline


class Done(NamedTuple):
    """What a worker did: how many generations (or writes, or reads), and what was acknowledged."""

    number: int
    acknowledged: list[Acknowledged]


@dataclass(frozen=True, slots=True)
class Workload:
    """What the workers do, what is counted, and what has to be in the store before they begin.

    `is_timed`: each worker goes on until the time is over; otherwise until its work is done.
    """

    unit: str
    is_timed: bool
    run: Callable[[Contestant, Notes, Turn], Done]
    prepare: Callable[[Contestant], list[Acknowledged]] | None = None

    def rate(self, paces: Sequence[tuple[int, float]]) -> float:
        """How much all workers do in a second, from the count and the seconds of each.

        Of timed ones the sum of their rates: the last generation of one that starves, with nobody else at work,
        must not count for all.
        """
        if self.is_timed:
            return sum(count / seconds for count, seconds in paces)
        return sum(count for count, _ in paces) / max(seconds for _, seconds in paces)


def _generate(store: Contestant, notes: Notes, turn: Turn) -> Done:
    """One generation after the other; the one that the deadline finds running is finished."""
    acknowledged = []
    count = 0
    while not turn.is_over():
        each = run_generation(store, notes)
        if each is not None:
            acknowledged.append(each)
            count += each.status is not None
    return Done(count, acknowledged)


def _share(store: Contestant, notes: Notes, turn: Turn) -> Done:
    """A fixed number of scenes and progress updates, all on the one session; each worker has its own numbers."""
    (session_id,) = turn.session_ids
    first = 1 + turn.worker * SHARED_SCENES
    saved: list[int] = []
    count = 0
    for step in range(1, SHARED_SCENES + 1):
        try:
            notes.timed("scene", store.add_scene, session_id, scene(first + step - 1))
            saved.append(first + step - 1)
            notes.timed("progress", store.set_progress, session_id, step, SHARED_SCENES, f"scene {step}")
            count += 2
        except Exception as error:  # noqa: BLE001 - whatever a store raises is a refusal, and is counted
            notes.refuse(error)
    # Which progress is the last one, nobody can know.
    return Done(count, [Acknowledged(session_id, None, None, saved)])


def _read(store: Contestant, notes: Notes, turn: Turn) -> Done:
    """Full reads of finished sessions, in turn."""
    count = 0
    for session_id in cycle(turn.session_ids):
        if turn.is_over():
            break
        try:
            notes.timed("read", store.read, session_id)
            count += 1
        except Exception as error:  # noqa: BLE001 - as above
            notes.refuse(error)
    return Done(count, [])


def _prepare_shared(store: Contestant) -> list[Acknowledged]:
    return [Acknowledged(store.create(STORY), None, None, [])]


def _prepare_reads(store: Contestant) -> list[Acknowledged]:
    generations = [run_generation(store, Notes()) for _ in range(SESSIONS_TO_READ)]
    return [each for each in generations if each is not None]


WORKLOADS = {
    "generations": Workload("generations", True, _generate),
    "shared": Workload("writes", False, _share, _prepare_shared),
    "reads": Workload("reads", True, _read, _prepare_reads),
}
