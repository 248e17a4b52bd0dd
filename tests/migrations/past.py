"""A store as revision 0004 left it: sessions in every state of knowledge, gone ones, events, paid calls. In SQL."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

SCENE = '{"scene_number":1,"title":"t","description":"d","image_prompt":"p"}'

# The turn of the year, and the instants that sessions have beside it.
DEC_31, JAN_1, JAN_2 = "2025-12-31", "2026-01-01", "2026-01-02"

Fields = dict[str, Any]


def put_the_past(database: Path) -> None:
    """All of it, into a database at revision 0004; the triggers count the sessions."""
    with closing(sqlite3.connect(database)) as connection:
        _put_living(connection)
        _put_gone(connection)
        _put_events(connection)
        _put_calls(connection)
        connection.commit()


def _insert(connection: sqlite3.Connection, table: str, fields: Fields) -> None:
    names, places = ", ".join(fields), ", ".join(f":{name}" for name in fields)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", fields)  # noqa: S608 - names of ours


def _put_living(connection: sqlite3.Connection) -> None:
    pending: Fields = {"status": "pending", "media_type": "cartoon", "attempt": 0}
    started: Fields = {"media_type": "cartoon", "attempt": 1}
    done: Fields = {"started_at": f"{JAN_1} 23:20:10.000", "queue_ms": 10_000, "generation_ms": 2_990_000}
    lost: Fields = {"media_type": None, "attempt": 0, "error_message": "no paint"}
    back: Fields = {"started_at": f"{JAN_1} 23:00:00.000", "queue_ms": 1}
    busy: Fields = {"media_type": "realistic", "started_at": f"{JAN_2} 00:00:00.000", "queue_ms": 3_000_000}
    for fields in (
        pending | {"session_id": "new", "created_at": f"{JAN_1} 22:30:00.000"},
        # It was given back by its worker: nobody wrote down when.
        pending | back | {"session_id": "back", "created_at": f"{JAN_1} 22:59:59.999", "attempt": 1},
        started | busy | {"session_id": "busy", "status": "processing", "created_at": f"{JAN_1} 23:10:00.000"},
        {**started, **done, "session_id": "done", "status": "completed", "created_at": f"{JAN_1} 23:20:00.000"}
        | {"finished_at": f"{JAN_2} 00:10:00.000"},
        {**lost, "session_id": "lost", "status": "failed", "created_at": f"{JAN_2} 00:00:00.000"}
        | {"finished_at": f"{JAN_2} 00:30:00.000"},
    ):
        request = f'{{"story_text":"A lamp.","media_type":"{fields["media_type"]}","num_scenes":3}}'
        same = {"num_scenes": 3, "version": 2, "idempotency_key": f"key-{fields['session_id']}", "metadata": "{}"}
        instants = dict.fromkeys(("last_accessed", "updated_at"), fields["created_at"])
        _insert(connection, "sessions", fields | same | instants | {"request_data": request})
    now = f"{JAN_2} 00:00:00.000"
    for session_id, number in (("busy", 1), ("busy", 2), ("done", 1)):
        connection.execute(
            "INSERT INTO scenes VALUES (?, ?, ?, ?, ?, ?)", (session_id, number, number, now, now, SCENE)
        )
    connection.execute(
        "INSERT INTO runs VALUES ('busy', 1, 'r1', 'gpu-1', NULL, ?, 60000, ?, NULL, NULL, 0)", (now, now)
    )
    connection.execute("INSERT INTO set_aside VALUES (1, 'done', 'scene 2', 'no JSON', ?, '{')", (now,))


def _put_gone(connection: sqlite3.Connection) -> None:
    old = {
        **{"session_id": "old", "reason": "removed", "status": "completed", "media_type": "cartoon", "num_scenes": 3},
        **{"scenes_done": 3, "attempt": 1, "queue_ms": 1, "generation_ms": 5_000},
        **{"created_at": f"{DEC_31} 23:59:59.999", "started_at": f"{JAN_1} 00:00:00.000"},
        **{"finished_at": f"{JAN_1} 00:00:05.000", "gone_at": f"{JAN_2} 00:59:59.999"},
    }
    ash = {
        **{"session_id": "ash", "reason": "expired", "status": "failed", "num_scenes": 3, "scenes_done": 1},
        **{"attempt": 3, "error_message": "no power", "created_at": f"{DEC_31} 23:00:00.000"},
        **{"finished_at": f"{DEC_31} 23:40:00.000", "gone_at": f"{JAN_2} 01:00:00.000"},
    }
    for fields in (old, ash):
        _insert(connection, "session_tombstones", fields)


def _put_events(connection: sqlite3.Connection) -> None:
    for number, event in enumerate(
        (
            ("busy", "created", "pending", None, 0, f"{JAN_1} 23:10:00.000"),
            ("done", "scene_added", "processing", 1, 1, f"{JAN_1} 23:30:00.000"),
            ("busy", "status_changed", "processing", None, 1, f"{JAN_2} 00:00:00.000"),
            ("busy", "scene_added", "processing", 1, 1, f"{JAN_2} 00:00:30.000"),
            ("busy", "scene_added", "processing", 2, 1, f"{JAN_2} 00:01:00.000"),
            ("back", "recovered", "pending", None, 1, f"{JAN_2} 00:05:00.000"),
            ("old", "removed", "completed", None, 1, f"{JAN_2} 00:59:59.999"),
        ),
        start=1,
    ):
        connection.execute("INSERT INTO session_events VALUES (?, ?, ?, ?, ?, ?, ?)", (number, *event))


def _put_calls(connection: sqlite3.Connection) -> None:
    for number, (state, cost_micros, intended_at, closed_at) in enumerate(
        (
            ("stored", 40_000, f"{JAN_1} 23:59:59.999", f"{JAN_2} 00:00:30.000"),
            ("failed", 50_000, f"{JAN_2} 00:00:00.000", f"{JAN_2} 00:00:10.000"),
            ("not_sent", None, f"{JAN_2} 00:00:00.000", f"{JAN_2} 00:00:10.000"),
            ("submitted", 60_000, f"{JAN_2} 00:01:00.000", None),
        )
    ):
        call = {
            **{"call_id": f"c{number}", "session_id": "busy", "scene_number": 1, "provider": "studio", "attempt": 1},
            **{"state": state, "is_repeatable": 0, "cost_micros": cost_micros, "intended_at": intended_at},
            **{"currency": None if cost_micros is None else "USD", "closed_at": closed_at},
            **{"request_fingerprint": "f", "request": "{}"},
        }
        _insert(connection, "provider_calls", call)
