"""A migration is one transaction: one that fails, or must not be, leaves the database as it was."""

from pathlib import Path
from typing import Any

import alembic.op
import pytest
from alembic import command
from alembic.config import Config

from sessionstore import DatabaseUnavailableError
from tests.conftest import OpenManager
from tests.dumps import dump, query, schema
from tests.migrations.rows import put_scene, put_session


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
