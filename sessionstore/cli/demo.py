"""`demo`: generates a story's scenes, and goes on where it was killed. Small enough to copy from."""

import hashlib
import os
import shlex
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sessionstore.cli.opening import Database, open_manager
from sessionstore.cli.output import console, is_for_people, print_rows
from sessionstore.cli.planner import plan_scenes
from sessionstore.cli.pretend import pretend_provider
from sessionstore.models import (
    MAX_SCENES,
    MAX_STORY_CHARACTERS,
    GenerationRequest,
    GenerationSession,
    GenerationStatus,
    MediaType,
    ScenePrompt,
)

if TYPE_CHECKING:
    from sessionstore import GenerationRun
    from sessionstore.manager import SessionManager

DEFAULT_SCENES = 5


def demo(
    story: Annotated[Path, typer.Argument(metavar="STORY.txt", help="A text file in UTF-8.")],
    scenes: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_SCENES, help=f"Scenes to make; {DEFAULT_SCENES} by default.", show_default=False),
    ] = None,
    scene_seconds: Annotated[float, typer.Option(min=0, help="How long a scene takes.")] = 0.3,
    media_type: Annotated[MediaType, typer.Option(help="The look.")] = MediaType.CINEMATIC,
    again: Annotated[bool, typer.Option("--again", help="Make a new session, even of a completed story.")] = False,
    database: Database = None,
) -> None:
    """Generate scenes from a story. Kill it at any moment, start it again: it goes on at the first missing scene."""
    text = read_story(story)
    with open_manager(database, is_worker=True) as manager:
        session = _find_or_create(manager, text, scenes, media_type, again)
        if session.status is not GenerationStatus.COMPLETED:
            if session.status.is_terminal():
                manager.retry_session(session.session_id)
            try:
                # Nobody else gets the session meanwhile, and the lease is kept alive by itself.
                _work_on(manager.track(session.session_id, f"demo-{os.getpid()}"), scene_seconds)
            except (KeyboardInterrupt, SystemExit):
                print(f"\nStopped; what was saved in {session.session_id} stays. The same command goes on from there.")
                raise
        _report(manager, session.session_id)


def make_scenes(
    run: "GenerationRun",
    scene_seconds: float = 0.3,
    show: Callable[[int, str], object] = lambda step, description: None,
) -> Iterator[ScenePrompt]:
    """The generator of the demo; `sessionstore worker --generator sessionstore.cli.demo:make_scenes` uses it too.

    Each tick and scene is a committed write of its own, and so is each step of the call for its image.
    """
    provider = pretend_provider(scene_seconds)
    pending, total = run.pending_scene_numbers(), run.session.request_data.num_scenes
    for done, scene in enumerate(_plan(run.session, pending), start=total - len(pending)):
        number = scene.scene_number
        show(done, f"Scene {number}: {scene.title}")
        run.update_progress(done, total, f"Making scene {number}")
        image = run.call(provider, number, {"prompt": scene.image_prompt})
        yield scene.model_copy(update={"image_url": image["url"]})
        run.update_progress(done + 1, total, f"Saved scene {number}")
        show(done + 1, f"Scene {number} saved: {scene.title}")


def _work_on(run: "GenerationRun", scene_seconds: float) -> None:
    # With it comes SQLAlchemy, which `--help` should not have to wait for.
    from sessionstore.worker import generate  # noqa: PLC0415

    total = run.session.request_data.num_scenes
    with _progress(total, total - len(run.pending_scene_numbers())) as show:
        generate(run, lambda run: make_scenes(run, scene_seconds, show))


def read_story(path: Path) -> str:
    """The text of a UTF-8 file, up to what a request may hold.

    Raises:
        ValueError: when the file cannot be read, is no UTF-8 text, or is blank.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (byte {error.start}); convert it, for example with iconv") from error
    if not text:
        raise ValueError(f"{path} is blank; a story needs some text")
    if len(text) > MAX_STORY_CHARACTERS:
        print(f"{path} has {len(text):,} characters; the demo uses the first {MAX_STORY_CHARACTERS:,}.")
    return text[:MAX_STORY_CHARACTERS]


def _find_or_create(
    manager: "SessionManager", text: str, scenes: int | None, media_type: MediaType, again: bool
) -> GenerationSession:
    """The newest session of this text, or a new one: its id is made from the text, so a restart finds it."""
    digest = hashlib.sha256(f"{media_type} {text}".encode()).hexdigest()[:12]
    run = 1
    newest: GenerationSession | None = None
    while (found := manager.get_session(f"demo-{digest}-{run}")) is not None:
        newest, run = found, run + 1
    plan = plan_scenes(text, scenes or DEFAULT_SCENES, media_type)
    if newest is not None and not again and (scenes is None or newest.request_data.num_scenes == len(plan)):
        _say_what_is_there(newest)
        return newest
    request = GenerationRequest(story_text=text, media_type=media_type, num_scenes=len(plan))
    session_id = manager.create_session(request, session_id=f"demo-{digest}-{run}", metadata={"made_by": "demo"})
    print(f"New session {session_id}: {len(plan)} scenes to make.")
    session = manager.get_session(session_id)
    assert session is not None
    return session


def _say_what_is_there(session: GenerationSession) -> None:
    if session.status is GenerationStatus.COMPLETED:
        print(f"Session {session.session_id} is completed already; nothing to do (--again makes a new one).")
        return
    saved = {scene.scene_number for scene in session.scenes}
    missing = [number for number in range(1, session.request_data.num_scenes + 1) if number not in saved]
    first = f"at scene {missing[0]}" if missing else "to complete it"
    print(
        f"Continuing session {session.session_id}: {len(session.scenes)} of {session.request_data.num_scenes} "
        f"scenes were saved; going on {first}."
    )


def _plan(session: GenerationSession, numbers: Collection[int]) -> list[ScenePrompt]:
    """The scenes of these numbers, the same whenever the story is planned."""
    request = session.request_data
    plan = plan_scenes(request.story_text, request.num_scenes, request.media_type)
    return [scene for scene in plan if scene.scene_number in numbers]


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[int, str], None]]:
    """A bar for people; a line for each step on a pipe."""
    if not is_for_people():
        yield lambda step, description: print(f"{step}/{total} {description}", flush=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console()) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda step, description: bar.update(task, completed=step, description=escape(description))


def _report(manager: "SessionManager", session_id: str) -> None:
    session = manager.get_session(session_id)
    assert session is not None
    print_rows(
        ["scene", "title", "characters"],
        [[scene.scene_number, scene.title, len(scene.description)] for scene in session.scenes],
        title=f"{session.session_id}: {session.status}, {len(session.scenes)} scenes",
    )
    file = manager.settings.database_url.removeprefix("sqlite:///")
    question = (
        "SELECT status, attempt, num_scenes, queue_ms, generation_ms, finished_at "  # noqa: S608 - printed only
        f"FROM sessions WHERE session_id = '{session_id}'"
    )
    print(f'In SQL: sqlite3 -box {shlex.quote(file)} "{question}"')
