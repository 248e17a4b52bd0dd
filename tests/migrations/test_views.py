"""Tables under views: how a later migration alters one, and that forgetting the views is noticed."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from sessionstore import DatabaseUnavailableError
from sessionstore.persistence import migrations
from tests.conftest import OpenManager
from tests.dumps import dump, query, revision, schema
from tests.migrations.past import put_the_past
from tests.migrations.test_reports import answers

# What a script does that rebuilds `sessions`: the views are set aside, and made again as they were.
REBUILDS_SESSIONS = '''
"""A later script."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def set_aside(kind, condition):
    bind = op.get_bind()
    found = bind.exec_driver_sql(
        f"SELECT name, sql FROM sqlite_schema WHERE type = '{kind}' AND {condition} ORDER BY rowid"
    ).all()
    for name, _ in reversed(found):
        op.execute(f"DROP {kind} {name}")
    return [sql for _, sql in found]


def rebuild(change):
    made_again = [*set_aside("trigger", "tbl_name = 'sessions'"), *set_aside("view", "1")]
    with op.batch_alter_table("sessions", recreate="always") as batch:
        change(batch)
    for sql in made_again:
        op.get_bind().exec_driver_sql(sql)


def upgrade():
    rebuild(lambda batch: batch.add_column(sa.Column("priority", sa.Integer(), server_default="7")))


def downgrade():
    rebuild(lambda batch: batch.drop_column("priority"))
'''
FORGETS_THE_VIEWS = REBUILDS_SESSIONS.replace(', *set_aside("view", "1")', "")
DROPS_A_COLUMN = '''
"""A later script that drops what a view needs."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade():
    op.drop_column("session_tombstones", "generation_ms")
'''


@pytest.fixture
def later(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test puts script 0007, in a copy of the migrations that Alembic is told of."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.scripts_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "0007"))
    return folder / "versions" / "0007_later.py"


@pytest.fixture
def database_of_the_past(config: Config, database: Path) -> Path:
    """At 0006, with rows."""
    command.upgrade(config, "0004")
    put_the_past(database)
    command.upgrade(config, "0006")
    return database


def made_again(database: Path) -> dict[str, str]:
    """All that goes with a table or stands on one."""
    return {name: sql for name, sql in schema(database).items() if name.split()[0] in {"view", "trigger", "index"}}


def test_a_table_under_views_is_altered_both_ways_and_they_answer_the_same(
    later: Path, config: Config, database_of_the_past: Path, open_manager: OpenManager
) -> None:
    database = database_of_the_past
    later.write_text(REBUILDS_SESSIONS, encoding="utf-8")
    before, schema_before, rows_before = answers(database), made_again(database), dump(database)
    command.upgrade(config, "head")
    assert revision(database) == "0007"
    assert answers(database) == before
    assert made_again(database) == schema_before
    assert query(database, "SELECT DISTINCT priority FROM sessions") == [(7,)]
    command.downgrade(config, "0006")
    assert answers(database) == before
    assert made_again(database) == schema_before
    assert dump(database) == rows_before
    manager = open_manager(max_sessions=None)
    manager.remove_session("new")
    assert (manager.get_session_count(), len(manager.report("sessions").rows)) == (4, 7)


@pytest.mark.parametrize("script", [FORGETS_THE_VIEWS, DROPS_A_COLUMN], ids=["rebuilds", "drops a column"])
def test_a_script_that_forgets_the_views_fails_and_changes_nothing(
    later: Path, config: Config, database_of_the_past: Path, script: str
) -> None:
    database = database_of_the_past
    later.write_text(script, encoding="utf-8")
    before = dump(database), schema(database)
    with pytest.raises(DatabaseUnavailableError) as caught:
        command.upgrade(config, "head")
    assert "error in view " in str(caught.value.__cause__)
    assert (dump(database), schema(database)) == before


def test_a_column_that_is_added_under_views_needs_no_care(
    later: Path, config: Config, database_of_the_past: Path
) -> None:
    database = database_of_the_past
    later.write_text(
        DROPS_A_COLUMN.replace(
            'op.drop_column("session_tombstones", "generation_ms")',
            'op.execute("ALTER TABLE session_tombstones ADD COLUMN note TEXT")',
        ),
        encoding="utf-8",
    )
    before = answers(database)
    command.upgrade(config, "head")
    assert answers(database) == before


def test_every_view_stands_on_tables_that_are_there(config: Config, database: Path) -> None:
    """SQLite lets a table go from under a view; then only a look at the view tells."""
    command.upgrade(config, "head")
    for (name,) in query(database, "SELECT name FROM sqlite_schema WHERE type = 'view'"):
        assert query(database, f"SELECT * FROM {name}") == []  # noqa: S608 - a view's name
    query(database, "DROP TABLE provider_totals")
    with pytest.raises(sqlite3.OperationalError, match="provider_totals"):
        query(database, "SELECT * FROM report_costs")
