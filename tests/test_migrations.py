"""The migrations: up, down, up again, from any start, in one transaction, and equal to the ORM classes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import alembic.op
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from sessionstore import DatabaseUnavailableError, SchemaError
from sessionstore.persistence.migrations import SCHEMA_REVISION, scripts_folder
from sessionstore.persistence.tables import Base
from tests.conftest import OpenManager
from tests.dumps import dump, file_bytes, query, revision, schema

CHECKOUT = Path(__file__).parent.parent
TABLES = {"sessions", "scenes", "set_aside", "session_events", "session_tombstones"}
NOW = "2026-01-01 12:00:00.000"


@pytest.fixture
def config(database: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Alembic's own commands, on the database of the test."""
    monkeypatch.setenv("SESSIONSTORE_DATABASE_URL", f"sqlite:///{database}")
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    return config


@pytest.fixture
def revisions(config: Config) -> list[str]:
    """All revisions, oldest first."""
    scripts = ScriptDirectory.from_config(config)
    return [script.revision for script in scripts.walk_revisions()][::-1]


def put_session(database: Path, session_id: str) -> None:
    """A session with one scene, as revision 0001 kept it."""
    request = '{"story_text":"A lamp.","media_type":"cinematic","num_scenes":2}'
    query(
        database,
        "INSERT INTO sessions (session_id, status, attempt, version, created_at, last_accessed, updated_at, metadata, "
        "request_data) VALUES (?, 'pending', 0, 1, ?, ?, ?, '{\"a\":1}', ?)",
        *(session_id, NOW, NOW, NOW, request),
    )
    put_scene(database, session_id)


def put_scene(database: Path, session_id: str) -> None:
    scene = '{"scene_number":1,"title":"t","description":"d","image_prompt":"p"}'
    query(database, "INSERT INTO scenes VALUES (?, 1, 0, ?, ?, ?)", session_id, NOW, NOW, scene)


def test_opening_a_new_database_makes_every_table_at_the_newest_revision(
    open_manager: OpenManager, database: Path
) -> None:
    open_manager().shutdown()
    assert dump(database).keys() >= TABLES
    assert revision(database) == SCHEMA_REVISION


def test_the_revision_in_the_code_is_the_one_head_of_the_scripts(config: Config) -> None:
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_REVISION]


def test_revisions_are_numbered_in_their_order_so_that_behind_and_ahead_can_be_told(revisions: list[str]) -> None:
    assert revisions == [f"{number:04}" for number in range(1, len(revisions) + 1)]


def test_each_step_down_gives_the_schema_from_before_the_step_up(
    config: Config, database: Path, revisions: list[str]
) -> None:
    before: list[dict[str, str]] = []
    for each in revisions:
        before.append(schema(database) if database.exists() else {})
        command.upgrade(config, each)
        assert revision(database) == each
        assert schema(database) != before[-1]
    for expected in reversed(before):
        command.downgrade(config, "-1")
        assert schema(database) == expected
    assert revision(database) is None
    assert schema(database) == {}


def test_built_by_steps_down_and_up_again_equals_built_from_nothing(
    config: Config, database: Path, revisions: list[str], open_manager: OpenManager, tmp_path: Path
) -> None:
    for each in revisions:
        command.upgrade(config, each)
    command.downgrade(config, "base")
    for each in revisions:
        command.upgrade(config, each)
    fresh = tmp_path / "fresh.db"
    open_manager(database_url=f"sqlite:///{fresh}").shutdown()
    assert schema(database) == schema(fresh)


def test_a_database_that_was_taken_down_to_base_can_be_opened_again(
    config: Config, database: Path, open_manager: OpenManager
) -> None:
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    manager = open_manager()
    assert manager.get_session(manager.create_session({"story_text": "A lamp."})) is not None


def test_autogenerate_finds_no_difference_between_migrations_and_orm_classes(config: Config, database: Path) -> None:
    command.upgrade(config, "head")
    command.check(config)
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    engine.dispose()


def test_what_autogenerate_ignores_is_equal_too(config: Config, database: Path, tmp_path: Path) -> None:
    command.upgrade(config, "head")
    made_by_classes = tmp_path / "classes.db"
    engine = create_engine(f"sqlite:///{made_by_classes}")
    Base.metadata.create_all(engine)
    engine.dispose()
    for table in sorted(TABLES):
        assert reflected(database, table) == reflected(made_by_classes, table), table


def reflected(database: Path, table: str) -> dict[str, Any]:
    """A table as SQLite describes it: columns in their order, and every kind of constraint by name and text."""
    engine = create_engine(f"sqlite:///{database}")
    inspector = inspect(engine)

    def by_name(found: Any) -> list[Any]:
        return sorted(found, key=lambda each: str(each["name"]))

    description = {
        "columns": query(
            database, 'SELECT cid, name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', table
        ),
        "checks": by_name(inspector.get_check_constraints(table)),
        "primary key": inspector.get_pk_constraint(table),
        "unique": by_name(inspector.get_unique_constraints(table)),
        "foreign keys": by_name(inspector.get_foreign_keys(table)),
        "indexes": by_name(
            [
                each | {"dialect_options": {option: str(text) for option, text in each["dialect_options"].items()}}
                for each in inspector.get_indexes(table)
            ]
        ),
        "without rowid": "WITHOUT ROWID" in schema(database)[f"table {table}"],
    }
    engine.dispose()
    return description


def test_rows_of_the_first_revision_are_there_after_the_upgrade(
    config: Config, database: Path, open_manager: OpenManager
) -> None:
    command.upgrade(config, "0001")
    put_session(database, "old")
    session = open_manager().get_session("old")
    assert session is not None
    assert (session.request_data.story_text, session.metadata) == ("A lamp.", {"a": 1})
    assert [scene.scene_number for scene in session.scenes] == [1]


def test_sessions_survive_the_way_down_to_the_first_revision_and_up_again(
    config: Config, database: Path, open_manager: OpenManager
) -> None:
    command.upgrade(config, "head")
    put_session(database, "kept")
    before = dump(database)
    command.downgrade(config, "0001")
    assert {name: dump(database)[name] for name in ("sessions", "scenes")} == {
        name: before[name] for name in ("sessions", "scenes")
    }
    assert open_manager().get_session("kept") is not None


class MigrationFailedError(Exception):
    """What the tests have a script end with."""


def fail_at(monkeypatch: pytest.MonkeyPatch, operation: str, number: int) -> None:
    """Has the call of that number to an operation of the migration scripts fail, after it did its work."""
    real, calls = getattr(alembic.op, operation), iter(range(1, 1000))

    def run(*args: Any, **given: Any) -> None:
        real(*args, **given)
        if next(calls) == number:
            raise MigrationFailedError

    monkeypatch.setattr(alembic.op, operation, run)


@pytest.mark.parametrize(
    ("operation", "number"), [("create_table", each) for each in range(1, 6)] + [("create_index", 8)]
)
def test_a_first_migration_that_fails_anywhere_leaves_nothing_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, open_manager: OpenManager, database: Path, operation: str, number: int
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, operation, number)
        with pytest.raises(MigrationFailedError):
            open_manager()
    assert dump(database) == {}
    assert query(database, "PRAGMA application_id") == [(0,)]
    assert open_manager().get_session_count() == 0


@pytest.mark.parametrize("number", [1, 2])
def test_an_upgrade_that_fails_half_way_leaves_the_old_revision_and_its_rows(
    config: Config, monkeypatch: pytest.MonkeyPatch, open_manager: OpenManager, database: Path, number: int
) -> None:
    command.upgrade(config, "0001")
    put_session(database, "old")
    before = dump(database), schema(database)
    with monkeypatch.context() as patch:
        fail_at(patch, "create_table", number)
        with pytest.raises(MigrationFailedError):
            open_manager()
    assert (dump(database), schema(database)) == before
    assert open_manager().get_session("old") is not None


def test_foreign_keys_are_off_while_a_migration_runs(
    monkeypatch: pytest.MonkeyPatch, open_manager: OpenManager
) -> None:
    seen: list[int] = []
    real = alembic.op.create_index

    def create_index(*args: Any, **given: Any) -> None:
        real(*args, **given)
        seen.append(alembic.op.get_bind().exec_driver_sql("PRAGMA foreign_keys").scalar_one())

    monkeypatch.setattr(alembic.op, "create_index", create_index)
    open_manager()
    assert seen
    assert set(seen) == {0}


def test_a_migration_that_would_leave_rows_without_their_session_changes_nothing(
    config: Config, open_manager: OpenManager, database: Path
) -> None:
    command.upgrade(config, "0001")
    put_scene(database, "nobody")
    before = dump(database), schema(database)
    with pytest.raises(DatabaseUnavailableError, match=r"1 rows without their session.*scenes.*sessionstore check"):
        open_manager()
    assert (dump(database), schema(database)) == before


OPEN_WHEN_TOLD = """
import sys
from sessionstore import SessionManager
print("ready", flush=True)
sys.stdin.readline()
with SessionManager(database_url=sys.argv[1]) as manager:
    manager.create_session({"story_text": "A lamp."}, session_id=sys.argv[2])
"""


def test_four_processes_that_race_to_open_the_same_new_file_all_succeed(
    database: Path, open_manager: OpenManager
) -> None:
    command_line = [sys.executable, "-c", OPEN_WHEN_TOLD, f"sqlite:///{database}"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    racers = [subprocess.Popen([*command_line, f"racer-{number}"], text=True, **pipes) for number in range(4)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [(racer.communicate(timeout=60)[1], racer.returncode) for racer in racers]
    assert results == [("", 0)] * 4
    assert {each["session_id"] for each in open_manager().get_all_sessions_info()} == {
        f"racer-{number}" for number in range(4)
    }


def test_alembics_own_commands_work_in_the_checkout_on_the_database_of_the_environment(database: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=CHECKOUT,
            env=os.environ | {"SESSIONSTORE_DATABASE_URL": f"sqlite:///{database}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("upgrade", "head")
    assert revision(database) == SCHEMA_REVISION
    assert run("current").split() == [SCHEMA_REVISION, "(head)"]
    run("downgrade", "base")
    assert revision(database) is None
    assert run("current").strip() == ""


REMEDIES = {None: ["sessionstore migrate"], "0001": ["sessionstore migrate"], "0099": ["upgrade sessionstore"]}


@pytest.mark.parametrize("found", [None, "0001", "0099", "0000", "00015", "initial"])
def test_with_auto_migrate_off_another_revision_is_named_and_the_file_left_alone(
    config: Config, open_manager: OpenManager, database: Path, found: str | None
) -> None:
    prepare(config, database, found)
    before = file_bytes(database)
    with pytest.raises(SchemaError) as caught:
        open_manager(auto_migrate=False)
    assert file_bytes(database) == before
    assert (caught.value.found, caught.value.expected) == (found, SCHEMA_REVISION)
    message = str(caught.value)
    assert str(database) in message
    assert SCHEMA_REVISION in message
    assert found is None or found in message
    assert any(remedy in message for remedy in REMEDIES.get(found, ["upgrade", "restore", "another path"]))


@pytest.mark.parametrize("found", ["0099", "0000", "00015", "initial"])
def test_a_revision_the_code_does_not_have_is_refused_and_left_alone_with_auto_migrate_too(
    config: Config, open_manager: OpenManager, database: Path, found: str
) -> None:
    prepare(config, database, found)
    before = file_bytes(database)
    with pytest.raises(SchemaError, match=found):
        open_manager()
    with pytest.raises(SchemaError, match=found):
        command.upgrade(config, "head")
    assert file_bytes(database) == before


def prepare(config: Config, database: Path, found: str | None) -> None:
    """A database that says it is at that revision; an empty file for None."""
    if found is None:
        database.touch()
        return
    command.upgrade(config, "0001")
    query(database, "UPDATE alembic_version SET version_num = ?", found)


def test_with_auto_migrate_off_a_missing_file_is_not_made(open_manager: OpenManager, database: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="no database; `sessionstore migrate` makes one"):
        open_manager(auto_migrate=False)
    assert not database.exists()


def test_with_auto_migrate_off_a_database_at_the_right_revision_opens(open_manager: OpenManager) -> None:
    open_manager().shutdown()
    assert open_manager(auto_migrate=False).get_session_count() == 0
