"""Stores as earlier revisions left them, with sessions in them, to be migrated while faults happen."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config

from sessionstore.persistence.engines.sqlite.schema import open_for_migration
from sessionstore.persistence.migrations import scripts_folder
from tests.faults.steps import Step, request_of, scene_of

LOCK_TIMEOUT = 10
NOW = "2026-01-01 12:00:00.000"


def make_old_store(database: Path, revision: str, sessions: int) -> dict[str, Step]:
    """A closed store at that revision; how far each of its sessions is."""
    _upgrade(database, "0001")
    with closing(sqlite3.connect(database)) as connection:
        for number in range(sessions):
            _put_session(connection, f"old-{number}")
        connection.commit()
    _upgrade(database, revision)
    return {f"old-{number}": Step.ONE_SCENE for number in range(sessions)}


def _put_session(connection: sqlite3.Connection, session_id: str) -> None:
    connection.execute(
        "INSERT INTO sessions (session_id, status, media_type, num_scenes, progress_step, progress_total, "
        "progress_description, attempt, version, created_at, last_accessed, updated_at, metadata, request_data) "
        "VALUES (?, 'pending', 'cinematic', 3, 1, 3, ?, 0, 2, ?, ?, ?, '{}', ?)",
        (session_id, f"sketching {session_id}", NOW, NOW, NOW, request_of(session_id).model_dump_json()),
    )
    connection.execute(
        "INSERT INTO scenes (session_id, scene_number, position, created_at, updated_at, payload) "
        "VALUES (?, 1, 0, ?, ?, ?)",
        (session_id, NOW, NOW, json.dumps(scene_of(session_id, 1).model_dump(mode="json"))),
    )


def _upgrade(database: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    with open_for_migration(str(database), LOCK_TIMEOUT) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
