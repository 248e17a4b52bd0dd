"""Rows as the first revision kept them, written without the store."""

from pathlib import Path

from tests.dumps import query

NOW = "2026-01-01 12:00:00.000"


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
