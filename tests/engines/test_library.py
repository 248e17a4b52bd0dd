"""Which SQLite a process runs on: decided in one place, by what is installed and what the environment says."""

import ast
import importlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

import sessionstore
from sessionstore.persistence.engines.sqlite import library
from sessionstore.persistence.engines.sqlite.library import Library
from sessionstore.settings import SQLITE_LIBRARY_VARIABLE, load_settings
from tests.concurrency import ask
from tests.workers import ROOT, Worker

PACKAGE = Path(sessionstore.__file__).parent
SCRIPTS = PACKAGE.parent / "migrations"
Install = Callable[[str], None]

needs_pysqlite3 = pytest.mark.skipif(find_spec("pysqlite3") is None, reason="the extra sqlite is not installed")
WHAT_RUNS = "test_what_runs_is_what_the_environment_says"
# A sixth of the contract: what stands or falls with the database and its driver.
OF_THE_CONTRACT = "commit or transaction or backup or snapshot or claim or fenc or lock or lease or idempot or check"


@pytest.fixture
def _without_pysqlite3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of that name can be imported, and the environment says nothing."""

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] == "pysqlite3"]

    before = {name: sys.modules.pop(name) for name in loaded()}
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delenv(SQLITE_LIBRARY_VARIABLE)
    yield
    for name in loaded():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def install_pysqlite3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _without_pysqlite3: None) -> Install:
    """Makes a package of that name, with these lines in it, the only one there is."""

    def install(lines: str) -> None:
        (tmp_path / "pysqlite3").mkdir()
        (tmp_path / "pysqlite3" / "__init__.py").touch()
        (tmp_path / "pysqlite3" / "dbapi2.py").write_text(lines)
        monkeypatch.setattr(sys, "path", [str(tmp_path)])

    return install


def imported_by(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_nothing_else_of_the_package_imports_a_sqlite_of_its_own() -> None:
    files = [*PACKAGE.rglob("*.py"), *SCRIPTS.rglob("*.py")]
    assert len(files) > 100
    found = {file.name for file in files if imported_by(file) & {"sqlite3", "_sqlite3", "pysqlite3"}}
    # The strangers that a verification lets in are programs of their own.
    assert found == {"library.py", "foreign.py"}


@pytest.mark.parametrize(
    ("version", "loses_commits"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 4), False),
        ((4, 0, 0), False),
    ],
)
def test_the_versions_that_lose_commits_are_known(version: tuple[int, int, int], loses_commits: bool) -> None:
    assert Library("sqlite3", version).loses_commits is loses_commits


def test_what_runs_is_what_the_environment_says() -> None:
    # Not always Python's: the contract is held against pysqlite3 together with this test.
    modules = {"python": "sqlite3", "pysqlite3": "pysqlite3.dbapi2"}
    module = importlib.import_module(modules[os.environ[SQLITE_LIBRARY_VARIABLE]])
    found = library.running()
    assert (found.package, found.version) == (module.__name__.partition(".")[0], module.sqlite_version_info)
    assert str(found) == f"SQLite {module.sqlite_version} of {found.package}"


@pytest.mark.usefixtures("_without_pysqlite3")
def test_without_the_extra_it_is_pythons() -> None:
    assert library._chosen() is sqlite3


def test_an_installed_pysqlite3_with_a_newer_sqlite_is_used(install_pysqlite3: Install) -> None:
    install_pysqlite3("sqlite_version_info = (9, 0, 0)")
    assert library._chosen().__name__ == "pysqlite3.dbapi2"


def test_an_installed_pysqlite3_with_an_older_sqlite_is_not(install_pysqlite3: Install) -> None:
    install_pysqlite3("sqlite_version_info = (3, 8, 0)")
    assert library._chosen() is sqlite3


@pytest.mark.parametrize("name", [SQLITE_LIBRARY_VARIABLE, SQLITE_LIBRARY_VARIABLE.lower()])
def test_the_environment_decides_which_of_two_is_used(
    name: str, install_pysqlite3: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_pysqlite3("sqlite_version_info = (9, 0, 0)")
    monkeypatch.setenv(name, "python")
    assert library._chosen() is sqlite3
    monkeypatch.setenv(name, "pysqlite3")
    assert library._chosen().__name__ == "pysqlite3.dbapi2"
    load_settings()


def test_another_choice_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, "newest")
    with pytest.raises(ValueError, match="SESSIONSTORE_SQLITE_LIBRARY must be one of auto, python, pysqlite3"):
        library._chosen()


@pytest.mark.usefixtures("_without_pysqlite3")
def test_pysqlite3_that_is_asked_for_and_missing_is_an_error_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, "pysqlite3")
    with pytest.raises(ValueError, match=r"pip install 'sessionstore\[sqlite\]'"):
        library._chosen()


def test_a_broken_pysqlite3_is_a_warning_unless_it_was_asked_for(
    install_pysqlite3: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_pysqlite3("raise ImportError('libsqlite3.so.0: cannot open shared object file')")
    with pytest.warns(RuntimeWarning, match=r"libsqlite3\.so\.0.* Python's sqlite3 is used"):
        assert library._chosen() is sqlite3
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, "pysqlite3")
    with pytest.raises(ValueError, match=r"libsqlite3\.so\.0"):
        library._chosen()


@needs_pysqlite3
@pytest.mark.timeout(600)
def test_the_contract_holds_on_pysqlite3(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, "pysqlite3")
    only = [] if pytestconfig.getoption("--long") else ["-k", f"what_runs_is or {OF_THE_CONTRACT}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/contract", f"{__file__}::{WHAT_RUNS}", *only],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


@needs_pysqlite3
@pytest.mark.parametrize(("first", "then"), [("python", "pysqlite3"), ("pysqlite3", "python")])
def test_a_store_written_on_one_is_read_and_written_on_the_other(
    first: str, then: str, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, package in enumerate((first, then), start=1):
        monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, package)
        with Worker("meet", database, package, 3) as worker:
            worker.expect("ready")
            worker.go()
            worker.expect("written")
            worker.go()
            worker.expect(f"{3 * number + 1} sessions, counter {3 * number}")
            assert worker.rest() == []
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]


@needs_pysqlite3
def test_two_processes_on_different_ones_share_a_file(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        workers = []
        for package in ("python", "pysqlite3"):
            monkeypatch.setenv(SQLITE_LIBRARY_VARIABLE, package)
            workers.append(stack.enter_context(Worker("meet", database, package, 40)))
        for report in ("ready", "written"):
            for worker in workers:
                worker.expect(report)
            for worker in workers:
                worker.go()
        assert [worker.rest() for worker in workers] == [["81 sessions, counter 80"]] * 2
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]
