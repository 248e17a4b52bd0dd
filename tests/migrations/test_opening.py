"""Who opens which database: in a race, from Alembic's command line, and at revisions that are not the code's."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from sessionstore import DatabaseUnavailableError, SchemaError, SessionLockError
from sessionstore.persistence.engines.sqlite import schema
from sessionstore.persistence.engines.sqlite.errors import is_busy
from sessionstore.persistence.migrations import SCHEMA_REVISION
from tests.concurrency import Caller, manager_on
from tests.conftest import OpenManager
from tests.dumps import file_bytes, query, revision

CHECKOUT = Path(__file__).parent.parent.parent

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


@contextmanager
def somebody_who_makes(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection in the state of one that is about to make the same new file: it has the lock for its first write."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_an_opening_waits_for_who_makes_the_same_file_although_sqlite_does_not(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def noted(error: sqlite3.Error) -> bool:
        refused.set()
        return is_busy(error)

    monkeypatch.setattr(schema, "is_busy", noted)
    with somebody_who_makes(database) as other:
        opening = Caller(lambda: manager_on(database).shutdown())
        assert refused.wait(30)
        other.execute("ROLLBACK")
        assert opening.finish()
    assert query(database, "PRAGMA journal_mode") == [("wal",)]


def test_an_opening_beside_who_never_ends_making_the_same_file_ends_with_the_lock_timeout(database: Path) -> None:
    with somebody_who_makes(database), pytest.raises(SessionLockError, match=r"within 0\.1 s"):
        manager_on(database, lock_timeout=0.1)


def test_control_without_trying_again_such_an_opening_fails_at_once(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_execute_patiently", lambda driver, statement, _: driver.execute(statement).fetchone())
    with somebody_who_makes(database), pytest.raises(DatabaseUnavailableError, match="SQLITE_BUSY"):
        manager_on(database)


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
