"""A small history to report on: two days of a studio, made through the manager with a clock that is moved."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sessionstore import Cost, GenerationRequest, MediaType, Provider, SessionManager
from sessionstore.testing import ManualClock

# Long ago for whoever runs the tests: what is stuck is stuck by the database's own clock.
BEGINNING = datetime(2024, 3, 1, 8, tzinfo=UTC)
# What CSV must quote.
AWKWARD_MESSAGE = 'the provider said "no", twice\nand hung up'
TIMED_OUT = "the provider timed out"

IMAGES = Provider(
    name="images",
    submit=lambda request: "job",
    fetch=lambda job_id: {"url": "https://images.example/1.png"},
    cost=lambda request, result: Cost(40_000, "USD"),
)


class Studio:
    """Makes sessions, one after the other, as its clock is told."""

    def __init__(self, database: Path) -> None:
        self.clock = ManualClock(BEGINNING)
        self.manager = SessionManager(
            None, None, database_url=f"sqlite:///{database}", clock=self.clock, recovery_interval=None
        )

    def at(self, day: int, hour: int, minute: int) -> None:
        self.clock.now = BEGINNING.replace(day=day, hour=hour, minute=minute)

    def create(self, session_id: str, media_type: MediaType) -> None:
        story = GenerationRequest(story_text="A fox finds a lantern.", media_type=media_type, num_scenes=2)
        self.manager.create_session(story, session_id=session_id)

    def work(self, session_id: str, *, queue: float, scene: float, error: str | None = None) -> None:
        """Waits `queue` seconds, then saves the missing scenes, `scene` seconds each; with an error only one."""
        self.clock.advance(seconds=queue)
        with suppress(RuntimeError), self.manager.track(session_id, "worker-1") as run:
            for number in run.pending_scene_numbers():
                self.clock.advance(seconds=scene)
                run.call(IMAGES, number, {"scene": number})
                texts = dict.fromkeys(("title", "description", "image_prompt"), f"Scene {number}")
                run.add_scene({"scene_number": number, **texts})
                if error is not None:
                    raise RuntimeError(error)


@contextmanager
def studio(database: Path) -> Iterator[Studio]:
    """A studio on a new database, which is closed at the end."""
    made = Studio(database)
    try:
        yield made
    finally:
        made.manager.shutdown()


def make_history(database: Path) -> None:
    """March 1st, whose sessions are gone; the 2nd, with a retry, and one session that nobody works on any more."""
    cinematic, cartoon = MediaType.CINEMATIC, MediaType.CARTOON
    with studio(database) as made:
        for session_id, media_type, hour, minute, queue, scene, error in (
            ("a1", cinematic, 8, 0, 2, 10, None),
            ("a2", cinematic, 8, 10, 4, 20, None),
            ("a3", cartoon, 8, 20, 1, 5, TIMED_OUT),
            ("a4", cartoon, 11, 0, 3, 30, None),
        ):
            made.at(1, hour, minute)
            made.create(session_id, media_type)
            made.work(session_id, queue=queue, scene=scene, error=error)
        made.at(1, 11, 30)
        made.create("a5", cinematic)
        made.manager.cancel_session("a5")
        made.at(2, 8, 0)
        made.manager.cleanup_expired_sessions()
        made.at(2, 9, 0)
        made.create("b1", cartoon)
        made.work("b1", queue=6, scene=10, error=TIMED_OUT)
        made.manager.retry_session("b1")
        made.work("b1", queue=20, scene=10)
        made.at(2, 9, 30)
        made.create("b2", cinematic)
        made.work("b2", queue=1, scene=3, error=AWKWARD_MESSAGE)
        made.at(2, 9, 40)
        made.create("b3", cinematic)
        made.manager.update_session_status("b3", "processing")
        made.create("b4", cartoon)
