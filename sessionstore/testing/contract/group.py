"""What all groups of the contract stand on: the fixtures of a binding, and the words the tests are written in."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from sqlalchemy import Engine, Executable, NullPool, create_engine, event

from sessionstore.manager import SessionManager
from sessionstore.models import GenerationRequest, GenerationSession, ScenePrompt
from sessionstore.persistence.execution import Executor
from sessionstore.settings import ENVIRONMENT_PREFIX
from sessionstore.testing import ManualClock

# Nobody waits so long unless a promise is broken; then the test fails instead of standing still.
PATIENCE_SECONDS = 20.0

Manager = SessionManager[Any, Any]
Session = GenerationSession[Any, Any]
Restore = Callable[[Path], str]
Execute = Callable[[Executable], list[Any]]


class OpenManager(Protocol):
    """Opens a manager on the test's database and clock; `arguments` are those of `SessionManager`."""

    def __call__(self, **arguments: Any) -> Manager: ...


class ContractGroup:
    """Promises that belong together. A binding overrides the first three fixtures."""

    @pytest.fixture
    def database_url(self) -> str:
        """An empty database of the engine, another one for each test."""
        raise NotImplementedError("a binding of the contract overrides the fixture database_url")

    @pytest.fixture
    def unusable_database_url(self) -> str:
        """A well-formed URL of the engine, behind which there is no database and none can be made."""
        raise NotImplementedError("a binding of the contract overrides the fixture unusable_database_url")

    @pytest.fixture
    def restore(self) -> Restore:
        """From the path that `backup` wrote to the URL of a database with what is in it."""
        raise NotImplementedError("a binding of the contract overrides the fixture restore")

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time of every manager that `open_manager` opens."""
        return ManualClock()

    @pytest.fixture
    def open_manager(
        self, database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[OpenManager]:
        """Managers that are shut down after the test; the settings of the environment do not reach them."""
        for variable in [name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX)]:
            monkeypatch.delenv(variable)
        opened: list[Manager] = []

        def open_one(**arguments: Any) -> Manager:
            defaults: dict[str, Any] = {"database_url": database_url, "clock": clock}
            opened.append(SessionManager(**(defaults | arguments)))
            return opened[-1]

        yield open_one
        assert [manager.shutdown(PATIENCE_SECONDS) for manager in opened] == [True] * len(opened)

    @pytest.fixture
    def manager(self, open_manager: OpenManager) -> Manager:
        """A manager with the default settings."""
        return open_manager()

    @pytest.fixture
    def execute(self, database_url: str) -> Iterator[Execute]:
        """Runs one statement and commits it, as a program beside the manager would; its rows."""
        engine = create_engine(database_url, poolclass=NullPool)

        def run(statement: Executable) -> list[Any]:
            with engine.begin() as connection:
                result = connection.execute(statement)
                return list(result.all()) if result.returns_rows else []

        yield run
        engine.dispose()


def a_request(story_text: str = "A fox crosses the river.", **fields: Any) -> GenerationRequest:
    """A request that is in order."""
    return GenerationRequest(story_text=story_text, **fields)


def a_scene(scene_number: int = 1, **fields: Any) -> ScenePrompt:
    """A scene that is in order."""
    texts = {"title": f"Scene {scene_number}", "description": "Dusk.", "image_prompt": "a fox at dusk"}
    return ScenePrompt(scene_number=scene_number, **(texts | fields))


def saved(manager: Manager, session_id: str) -> Session:
    """The session, which must be there."""
    session = manager.get_session(session_id)
    assert session is not None
    return session


def scene_numbers(manager: Manager, session_id: str) -> list[int]:
    """The numbers of the saved scenes, in their order."""
    return [scene.scene_number for scene in saved(manager, session_id).scenes]


def create_in_status(manager: Manager, status: str, **arguments: Any) -> str:
    """A new session that was brought to `status` at once; its id."""
    session_id = manager.create_session(a_request(), **arguments)
    assert manager.update_session_status(session_id, status)
    return session_id


class Heard(NamedTuple):
    """One call of a callback."""

    event_type: str
    session_id: str
    session: Session
    thread: int


def listen(manager: Manager, *event_types: str) -> list[Heard]:
    """A list that grows by each callback of these types."""
    heard: list[Heard] = []

    def callback_for(event_type: str) -> Callable[[str, Session], None]:
        def callback(session_id: str, session: Session) -> None:
            heard.append(Heard(event_type, session_id, session, threading.get_ident()))

        return callback

    for event_type in event_types:
        manager.register_session_callback(event_type, callback_for(event_type))
    return heard


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Runs all calls on threads of their own that start together; their results, in order."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(PATIENCE_SECONDS) for future in [pool.submit(run, call) for call in calls]]


def elsewhere(call: Callable[[], Any]) -> Any:
    """The result of `call` on another thread."""
    return at_once(call)[0]


@contextmanager
def lock_held_elsewhere(
    manager: Manager, session_id: str, *, last: Callable[[Session], object] = lambda _: None
) -> Iterator[None]:
    """Another thread is inside `with_session_lock` until the block ends; it then does `last` and returns."""
    holding, release = threading.Event(), threading.Event()

    def hold(session: Session) -> None:
        holding.set()
        assert release.wait(PATIENCE_SECONDS)
        last(session)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(manager.with_session_lock, session_id, hold)
        try:
            assert holding.wait(PATIENCE_SECONDS)
            yield
        finally:
            release.set()
            held.result(PATIENCE_SECONDS)


@contextmanager
def statements_recorded() -> Iterator[list[str]]:
    """The SQL that is executed within the block, whichever engine does.

    The store has two roads to the driver: SQLAlchemy's, and its own for prepared statements, which SQLAlchemy's
    events never see. A promise about the number of statements must count both.
    """
    statements: list[str] = []
    execute_prepared = Executor._execute

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    def noted(executor: Executor, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute_prepared(executor, sql, *rest)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Executor, "_execute", noted)
            yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)
