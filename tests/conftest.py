"""What every test stands on: a database file of its own, a clock that it moves, and no settings from outside."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from sessionstore import SessionManager
from sessionstore.settings import ENVIRONMENT_PREFIX, SQLITE_LIBRARY_VARIABLE, TEST_PREFIX
from sessionstore.testing import ManualClock

# No example database: a run of the tests leaves nothing behind. No deadline: a slow disk is not a bug.
hypothesis.settings.register_profile("sessionstore", database=None, deadline=None)
hypothesis.settings.load_profile("sessionstore")

OpenManager = Callable[..., SessionManager]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long soak and fault runs")


def pytest_configure(config: pytest.Config) -> None:
    """Has Hypothesis keep its notes on the code, which it writes even without a database, until the end only."""
    notes = tempfile.TemporaryDirectory(prefix="sessionstore-hypothesis-")
    config.add_cleanup(notes.cleanup)
    set_hypothesis_home_dir(notes.name)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        is_for_tests = variable == SQLITE_LIBRARY_VARIABLE or variable.upper().startswith(TEST_PREFIX)
        if variable.upper().startswith(ENVIRONMENT_PREFIX) and not is_for_tests:
            monkeypatch.delenv(variable)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the manager of this test keeps its sessions; nothing is there yet."""
    return tmp_path / "sessions.db"


@pytest.fixture
def open_manager(database: Path, clock: ManualClock) -> Iterator[OpenManager]:
    """Opens managers, on `database` unless told otherwise, and shuts them down at the end."""
    opened: list[SessionManager] = []

    def open_one(**given: Any) -> SessionManager:
        defaults: dict[str, Any] = {"database_url": f"sqlite:///{database}", "clock": clock}
        manager = SessionManager(**defaults | given)
        opened.append(manager)
        return manager

    yield open_one
    for manager in opened:
        assert manager.shutdown(timeout=10)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store without sessions, to be copied: to make one takes all migrations, for two thousand tests."""
    path = tmp_path_factory.mktemp("empty") / "sessions.db"
    SessionManager(database_url=f"sqlite:///{path}").shutdown()
    return path


@pytest.fixture
def manager(database: Path, empty_store: Path, open_manager: OpenManager) -> SessionManager:
    """A manager on `database`."""
    if not database.exists():
        shutil.copy(empty_store, database)
    return open_manager()
