"""Stores that have been in use for long: so many completed sessions, made over the last 20 hours."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from benchmarks.contestants import BASELINE, STORE
from benchmarks.contestants.hand_written import HandWritten
from benchmarks.contestants.this_store import ThisStore
from benchmarks.generation import SCENES, STORY, scene
from benchmarks.processes import run_fresh
from benchmarks.progress import Progress
from sessionstore import GenerationRequest, GenerationStatus, ProgressUpdate, ScenePrompt
from sessionstore.testing import ManualClock

SPREAD = timedelta(hours=20)
# All sessions of a batch are of one moment and one transaction; a commit for each would take hours.
LARGE_BATCH, SMALL_BATCH = 1000, 100
FEWEST_SESSIONS = 2 * SMALL_BATCH


@dataclass(frozen=True, slots=True)
class Filling:
    """So many sessions from `begun_at` on, evenly over `spread`, a batch at a time."""

    spread: ClassVar = SPREAD

    sessions: int
    begun_at: datetime

    @property
    def batch(self) -> int:
        return LARGE_BATCH if self.sessions >= 20 * LARGE_BATCH else SMALL_BATCH

    def created_at(self, session: int) -> datetime:
        """When that session was created, the oldest being 0."""
        return self.begun_at + self.spread * (session // self.batch * self.batch / self.sessions)


def filling_until_now(sessions: int) -> Filling:
    return Filling(sessions, datetime.now(UTC) - SPREAD)


def fill(filling: Filling, folder: Path) -> dict[str, Path]:
    """Makes the databases, both at a time, and closes them; by the names of the contestants that open them."""
    templates = {name: folder / f"filled-{name}.db" for name in (STORE.name, BASELINE.name)}
    run_fresh(_fill, *((name, filling, path) for name, path in templates.items()))
    return templates


def _fill(name: str, filling: Filling, path: Path) -> None:
    if name == STORE.name:
        _fill_store(filling, path)
    else:
        _fill_baseline(filling, path)


def _fill_store(filling: Filling, path: Path) -> None:
    request = GenerationRequest(story_text=STORY, num_scenes=SCENES)
    ending = {
        "status": GenerationStatus.COMPLETED,
        "scenes": [ScenePrompt(**scene(number)) for number in range(1, SCENES + 1)],
        "progress": ProgressUpdate(current_step=SCENES, total_steps=SCENES, description=f"saved scene {SCENES}"),
    }
    clock = ManualClock(filling.begun_at)
    progress = Progress()
    store = ThisStore(path, "normal", clock=clock)
    for first in range(0, filling.sessions, filling.batch):
        progress.show(f"filling {STORE.label}: {first:,} of {filling.sessions:,} sessions")
        clock.now = filling.created_at(first)
        with store.manager.transaction():
            for _ in range(min(filling.batch, filling.sessions - first)):
                session_id = store.manager.create_session(request, metadata={"user": "u-17"})
                store.manager.atomic_session_update(session_id, ending)
    store.close()
    progress.clear()


def _fill_baseline(filling: Filling, path: Path) -> None:
    """Sooner done than the other, so that nobody waits for it or wants to know how far it is."""
    scenes = [scene(number) for number in range(1, SCENES + 1)]
    store = HandWritten(path, "normal")
    for first in range(0, filling.sessions, filling.batch):
        sessions = min(filling.batch, filling.sessions - first)
        store.fill(sessions, filling.created_at(first), scenes, STORY)
    store.close()
