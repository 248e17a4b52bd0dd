"""What a careful programmer writes with nothing but sqlite3: the measure of all the others.

WAL, the same `synchronous` as the others, a connection for each thread, one short transaction for each write.
It validates nothing, keeps no history, and has no index beyond its keys.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from benchmarks.contestants.base import BUSY_TIMEOUT_SECONDS, Contestant, Seen

SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS sessions (
        session_id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        progress_step INTEGER,
        progress_total INTEGER,
        progress_description TEXT,
        created_at DATETIME NOT NULL,
        updated_at DATETIME NOT NULL,
        metadata TEXT NOT NULL,
        request_data TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS scenes (
        session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
        scene_number INTEGER NOT NULL,
        created_at DATETIME NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (session_id, scene_number)
    )
    """,
)
CREATE = "INSERT INTO sessions VALUES (?, 'pending', NULL, NULL, NULL, ?, ?, ?, ?)"
FILL = "INSERT INTO sessions VALUES (?, 'completed', ?, ?, ?, ?, ?, ?, ?)"
SET_STATUS = "UPDATE sessions SET status = ?, updated_at = ? WHERE session_id = ?"
SET_PROGRESS = """
    UPDATE sessions SET progress_step = ?, progress_total = ?, progress_description = ?, updated_at = ?
    WHERE session_id = ?
"""
ADD_SCENE = "INSERT OR REPLACE INTO scenes VALUES (?, ?, ?, ?)"
READ_SESSION = "SELECT * FROM sessions WHERE session_id = ?"
LOOK = "SELECT status, progress_step FROM sessions WHERE session_id = ?"
READ_SCENES = "SELECT payload FROM scenes WHERE session_id = ? ORDER BY scene_number"


class HandWritten(Contestant):
    """With random ids, as `uuid4` gives them."""

    def __init__(self, path: Path, durability: str) -> None:
        self._path = path
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        with self._writing() as connection:
            for statement in SCHEMA:
                connection.execute(statement)

    def create(self, story: str) -> str:
        session_id, now = self._new_id(), _now()
        metadata = json.dumps({"user": "u-17"})
        with self._writing() as connection:
            connection.execute(CREATE, (session_id, now, now, metadata, _request(story)))
        return session_id

    def set_status(self, session_id: str, status: str) -> None:
        with self._writing() as connection:
            _check(connection.execute(SET_STATUS, (status, _now(), session_id)), session_id)

    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None:
        with self._writing() as connection:
            _check(connection.execute(SET_PROGRESS, (step, total, description, _now(), session_id)), session_id)

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        payload = json.dumps(scene)
        with self._writing() as connection:
            connection.execute(ADD_SCENE, (session_id, scene["scene_number"], _now(), payload))

    def read(self, session_id: str) -> list[int]:
        connection = self._connection()
        row = connection.execute(READ_SESSION, (session_id,)).fetchone()
        if row is None:
            raise LookupError(session_id)
        json.loads(row[-1]), json.loads(row[-2])
        scenes = [json.loads(payload) for (payload,) in connection.execute(READ_SCENES, (session_id,))]
        return [scene["scene_number"] for scene in scenes]

    def fill(self, sessions: int, moment: datetime, scenes: Sequence[Mapping[str, Any]], story: str) -> None:
        """So many completed sessions with these scenes, all of one moment, in one transaction."""
        session_ids = [self._new_id() for _ in range(sessions)]
        now, total = _text(moment), len(scenes)
        rest = (total, total, f"saved scene {total}", now, now, json.dumps({"user": "u-17"}), _request(story))
        payloads = [json.dumps(scene) for scene in scenes]
        with self._writing() as connection:
            connection.executemany(FILL, ((each, *rest) for each in session_ids))
            connection.executemany(
                ADD_SCENE,
                ((each, number, now, payload) for each in session_ids for number, payload in enumerate(payloads, 1)),
            )

    def look(self, session_id: str) -> Seen | None:
        row = self._connection().execute(LOOK, (session_id,)).fetchone()
        if row is None:
            return None
        status, step = row
        return Seen(status, step, self.read(session_id))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _new_id(self) -> str:
        return str(uuid4())

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # check_same_thread: only so can `close` end the connections of threads that are gone.
            connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


class HandWrittenTimeOrdered(HandWritten):
    """With ids that grow with time, so that new rows go to the same pages."""

    def _new_id(self) -> str:
        return time_ordered_id(time.time_ns() // 1_000_000)


def time_ordered_id(milliseconds: int) -> str:
    """A UUIDv7, which the standard library has from 3.14 on."""
    random_bits = int.from_bytes(os.urandom(10), "big")
    high = milliseconds << 16 | 0x7000 | random_bits >> 68
    return str(UUID(int=high << 64 | 0b10 << 62 | random_bits & (1 << 62) - 1))


def _request(story: str) -> str:
    return json.dumps({"story_text": story, "media_type": "cinematic", "num_scenes": 5})


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(" ", "milliseconds")[:23]


def _check(cursor: sqlite3.Cursor, session_id: str) -> None:
    if cursor.rowcount != 1:
        raise LookupError(session_id)
