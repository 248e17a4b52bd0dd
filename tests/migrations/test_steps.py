"""Up, down and up again, with and without rows; and equal to the ORM classes."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from sessionstore.persistence.migrations import SCHEMA_REVISION
from sessionstore.persistence.tables import Base
from tests.conftest import OpenManager
from tests.dumps import dump, query, revision, schema
from tests.migrations.rows import put_session

TABLES = set(Base.metadata.tables)


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
    command.upgrade(config, "0001")
    put_session(database, "kept")
    before = dump(database)
    command.upgrade(config, "head")
    command.downgrade(config, "0001")
    assert {name: dump(database)[name] for name in ("sessions", "scenes")} == {
        name: before[name] for name in ("sessions", "scenes")
    }
    assert open_manager().get_session("kept") is not None


def test_sessions_from_before_there_were_counts_are_counted_when_they_are_migrated(
    config: Config, open_manager: OpenManager, database: Path
) -> None:
    command.upgrade(config, "0002")
    for name in ("a", "b", "c"):
        put_session(database, name)
    query(database, "UPDATE sessions SET status = 'processing' WHERE session_id = 'b'")
    manager = open_manager()
    assert manager.get_session_count() == 3
    assert manager.get_performance_stats()["average_age_hours"] == 0.0
    assert query(database, "SELECT * FROM session_counts WHERE sessions > 0 ORDER BY 1, 2") == [
        ("all", "", 3, 3 * (1767268800 - 1577836800) * 1000),
        ("created", "2026-01-01 12:00", 3, 0),
        ("quiet", "2026-01-01 12:00", 1, 0),
        ("status", "pending", 2, 0),
        ("status", "processing", 1, 0),
    ]
