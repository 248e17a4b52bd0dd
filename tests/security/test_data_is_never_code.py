"""No data becomes code: JSON is all that is read back, and no function is called that the schema of a file names."""

import ast
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sessionstore import DatabaseUnavailableError, SessionManager
from sessionstore.persistence.engines.sqlite import connections
from tests.conftest import OpenManager
from tests.dumps import query

ROOT = Path(__file__).parents[2]
# The errors' own tests pickle errors, which is promised of them.
MODULES = [
    path
    for folder in ("sessionstore", "migrations")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "testing" not in path.parts
]
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "jsonpickle", "yaml", "code", "codeop"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "load_extension", "enable_load_extension"}


def unsafe_in(source: str) -> list[str]:
    """What a module imports or calls that would run data as code."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNSAFE_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            is_method_of_re = isinstance(node.func, ast.Attribute) and node.func.attr == "compile"
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            found += [name] if name in UNSAFE_CALLS and not is_method_of_re else []
    return found


def test_no_module_unpickles_or_evaluates() -> None:
    assert len(MODULES) > 80
    assert {str(path): found for path in MODULES if (found := unsafe_in(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize("line", ["import pickle", "from marshal import loads", "eval('1')", "c.load_extension('x')"])
def test_control_what_would_run_data_is_found(line: str) -> None:
    assert unsafe_in(line)


def test_a_trigger_of_somebody_elses_calls_no_function_with_effects(
    open_manager: OpenManager, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_manager().shutdown()
    query(
        database,
        "CREATE TRIGGER planted AFTER INSERT ON sessions BEGIN SELECT with_effects(NEW.session_id); END",
    )
    called: list[str] = []

    def connect(*arguments: object, **named: object) -> sqlite3.Connection:
        # As an application does that adds functions of its own to all connections.
        connection: sqlite3.Connection = real(*arguments, **named)  # type: ignore[call-overload]
        connection.create_function("with_effects", 1, called.append)
        return connection

    real = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", connect)
    with pytest.raises(DatabaseUnavailableError):
        open_manager().create_session({"story_text": "A lamp."})
    assert called == []

    with closing(connect(database)) as control:  # without the pragma, which is SQLite's default
        control.execute("SELECT with_effects('control')")
    assert called == ["control"]


def test_every_connection_distrusts_the_schema(open_manager: OpenManager, database: Path) -> None:
    manager: SessionManager = open_manager()
    with closing(connections.connect(Path(str(manager._store.engine)), durability="full")) as connection:
        assert connections.pragma(connection, "trusted_schema") == 0
        assert connections.pragma(connection, "cell_size_check") == 1
