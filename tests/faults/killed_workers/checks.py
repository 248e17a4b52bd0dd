"""What must hold of sessions whose workers were killed, whenever and however often."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from sessionstore import GenerationRequest, GenerationStatus, SessionManager
from tests.concurrency import ask
from tests.faults.killed_workers.service import Service
from tests.faults.killed_workers.workers import PRICE

SCENES = 3
# A look reads all sessions and asks for held calls: rare enough to leave the workers their processors.
LOOK_SECONDS = 0.05

Scene = tuple[str, int]


def story(number_of_scenes: int = SCENES) -> GenerationRequest:
    return GenerationRequest(story_text="A fox finds a lantern.", num_scenes=number_of_scenes)


def carry_on_until(is_done: Callable[[], bool], carry_on: Callable[[], object], *, seconds: float, what: str) -> None:
    """Calls `carry_on` again and again until it `is_done`; fails the test when that takes too long."""
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        carry_on()
        time.sleep(LOOK_SECONDS)


def are_completed(manager: SessionManager, session_ids: Collection[str]) -> bool:
    wanted = set(session_ids)
    infos = [each for each in manager.get_all_sessions_info() if each["session_id"] in wanted]
    return len(infos) == len(wanted) and all(each["status"] == GenerationStatus.COMPLETED for each in infos)


@dataclass
class Damage:
    """What must not be, each as the scenes that it happened to."""

    bought_twice: list[Scene] = field(default_factory=list)
    never_bought: list[Scene] = field(default_factory=list)
    lost: list[Scene] = field(default_factory=list)
    not_once: list[Scene] = field(default_factory=list)
    of_another_job: list[Scene] = field(default_factory=list)


def damage_of(
    manager: SessionManager, service: Service, session_ids: Collection[str], acknowledged: set[Scene]
) -> Damage:
    """Looks at completed sessions of `SCENES` scenes: what was bought for them, and what is saved of them."""
    damage = Damage()
    bought = service.count_by_scene(set(session_ids))
    jobs = {(job.session_id, job.scene_number): job.job_id for job in service.purchases()}
    for session_id in session_ids:
        session = manager.get_session(session_id)
        assert session is not None
        numbers = [scene.scene_number for scene in session.scenes]
        for number in range(1, SCENES + 1):
            scene, key = session.get_scene_by_number(number), (session_id, number)
            if bought[key] > 1:
                damage.bought_twice.append(key)
            elif bought[key] == 0:
                damage.never_bought.append(key)
            if scene is None and key in acknowledged:
                damage.lost.append(key)
            if numbers.count(number) != 1:
                damage.not_once.append(key)
            elif scene is not None and scene.image_url != f"https://images.example/{jobs.get(key)}.png":
                damage.of_another_job.append(key)
    return damage


def bill_of(database: Path, session_ids: Collection[str]) -> int:
    """What the ledger says that these sessions cost, in millionths; all their calls must be stored."""
    rows = ask(database, "SELECT session_id, state, cost_micros FROM provider_calls WHERE state <> 'not_sent'")
    rows = [row for row in rows if row[0] in session_ids]
    assert {state for _, state, _ in rows} <= {"stored"}
    return sum(cost for _, _, cost in rows)


def price_of(scenes: int) -> int:
    return scenes * PRICE.micros


class Attempts:
    """Looks again and again at the attempts of all sessions, which only grow, and at their open runs."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._seen: dict[str, int] = {}

    def look(self) -> None:
        for session_id, attempt in ask(self._database, "SELECT session_id, attempt FROM sessions"):
            assert attempt >= self._seen.get(session_id, 0), f"session {session_id} went back to attempt {attempt}"
            self._seen[session_id] = attempt
        open_twice = "SELECT session_id FROM runs WHERE ended_at IS NULL GROUP BY session_id HAVING count(*) > 1"
        assert ask(self._database, open_twice) == []

    def check_history(self) -> None:
        """From the table of runs: attempts count from 1 without a gap, and each ended before the next one began."""
        self.look()
        rows = ask(self._database, "SELECT session_id, attempt, claimed_at, ended_at FROM runs ORDER BY 1, 2")
        ends: dict[str, tuple[int, str]] = {}
        for session_id, attempt, claimed_at, ended_at in rows:
            last, end_of_last = ends.get(session_id, (0, ""))
            assert attempt == last + 1
            assert ended_at is not None
            assert end_of_last <= claimed_at, f"attempts {last} and {attempt} of session {session_id} overlap"
            ends[session_id] = (attempt, ended_at)
        assert {session_id: attempt for session_id, (attempt, _) in ends.items()} == self._seen
