"""A story, metadata, what a provider said, a password: in no message, no traceback, no log, whatever goes wrong."""

import logging
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sessionstore import SessionCorruptedError, SessionManager, SessionManagerError, Settings
from sessionstore.persistence import codec
from sessionstore.settings import load_settings, without_secrets
from tests.conftest import OpenManager
from tests.dumps import query

CANARY = "canary-7f3a"
SCENE = {"scene_number": 1, "title": CANARY, "description": CANARY, "image_prompt": CANARY}


class Story(BaseModel):
    """A model of an application's own, whose validation errors repeat what they were given."""

    story_text: str
    pages: int = 1


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that is logged, at level DEBUG, with tracebacks, as a handler writes it."""
    for name in ("sessionstore", "sqlalchemy", "alembic"):
        caplog.set_level(logging.DEBUG, logger=name)
    return lambda: caplog.text


@pytest.fixture
def store(log: Callable[[], str], open_manager: OpenManager) -> SessionManager[Any, Any]:
    """Session `a`, which holds the canary wherever it can; logged from the first connection on."""
    manager: SessionManager[Any, Any] = open_manager(request_model=Story, lock_timeout=0.2)
    manager.create_session({"story_text": CANARY}, session_id="a", metadata={"note": CANARY})
    manager.add_scene_to_session("a", SCENE)
    manager.update_session_progress("a", 1, 2, CANARY)
    return manager


def told(error: BaseException) -> str:
    """All that a traceback prints, causes and notes too."""
    return "".join(traceback.format_exception(error))


def refusal_of(act: Callable[[], object]) -> str:
    with pytest.raises((SessionManagerError, ValueError, TypeError)) as caught:
        act()
    return told(caught.value)


DAMAGE = {
    "request of other types": ("sessions", "request_data", f'{{"story_text": "{CANARY}", "pages": "{CANARY}"}}'),
    "request that is no JSON": ("sessions", "request_data", f"{{{CANARY}"),
    "metadata that is no object": ("sessions", "metadata", f'["{CANARY}"]'),
    "scene of other types": ("scenes", "payload", f'{{"scene_number": "{CANARY}"}}'),
    "time that is none": ("sessions", "updated_at", CANARY),
}


def do_damage(database: Path, kind: str) -> None:
    """As another program does it that knows of checksums: what does not match one is not even decoded."""
    table, column, value = DAMAGE[kind]
    unsigned = {"sessions": ("request_checksum", "metadata_checksum", "state_checksum"), "scenes": ("checksum",)}[table]
    changes = ", ".join([f"{column} = ?", *(f"{name} = NULL" for name in unsigned)])
    query(database, f"UPDATE {table} SET {changes}", value)  # noqa: S608 - the names stand above


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_session_is_told_without_what_is_in_it(
    store: SessionManager[Any, Any], database: Path, log: Callable[[], str], damage: str
) -> None:
    do_damage(database, damage)
    store.register_session_callback("status_changed", print)

    assert CANARY not in refusal_of(lambda: store.get_session("a"))
    assert CANARY not in refusal_of(lambda: store.with_session_lock("a", print))
    acts: list[Callable[[], object]] = [
        lambda: store.claim_next_session("gpu-1"),
        lambda: store.update_session_status("a", "failed"),
        lambda: store.bulk_update_sessions(["a"], print),
        lambda: store.remove_session("a"),
    ]
    for act in acts:
        refusal = None
        try:
            act()
        except SessionCorruptedError as error:
            refusal = told(error)
        assert CANARY not in str(refusal)
    assert CANARY not in log()


def test_control_with_the_cause_kept_the_damaged_row_is_told(
    store: SessionManager[Any, Any], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_damage(database, "request of other types")
    monkeypatch.setattr(codec, "_named", lambda error, name: ValueError(str(error)))
    assert CANARY in refusal_of(lambda: store.get_session("a"))


def test_validation_repeats_nothing_of_models_that_would(
    store: SessionManager[Any, Any], log: Callable[[], str]
) -> None:
    for bad in (
        {"story_text": [CANARY]},
        {"story_text": "A", "pages": CANARY},
        {CANARY: 1},
        {"pages": {CANARY: CANARY}},
    ):
        assert CANARY not in refusal_of(lambda bad=bad: store.create_session(bad))  # type: ignore[misc]
    assert CANARY not in log()


def test_a_store_that_is_locked_or_full_tells_nothing_of_what_it_was_to_write(
    store: SessionManager[Any, Any], database: Path, log: Callable[[], str]
) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        assert CANARY not in refusal_of(lambda: store.create_session({"story_text": CANARY}, metadata={"k": CANARY}))
    writer: sqlite3.Connection = store._store.engine._writer.driver  # type: ignore[attr-defined]
    writer.execute("PRAGMA max_page_count = 1")
    large = {"story_text": CANARY * 10_000}
    assert CANARY not in (full := refusal_of(lambda: store.create_session(large, metadata=large)))
    assert "the disk is full" in full
    writer.execute("PRAGMA max_page_count = 100000000")
    assert CANARY not in log()


def test_what_is_read_and_written_is_not_logged_at_any_level(
    store: SessionManager[Any, Any], log: Callable[[], str]
) -> None:
    store.create_session({"story_text": CANARY}, metadata={"k": CANARY})
    store.list_sessions(media_type=CANARY)
    store.get_sessions_by_status("pending")
    store.atomic_session_update("a", {"error_message": CANARY, CANARY: CANARY})
    for name in ("sessions", "failures", "scenes"):
        store.report(name)
    store.cleanup_expired_sessions(0)

    assert "FROM report_failures" in log()  # SQLAlchemy does log statements
    assert CANARY not in log()


def test_control_without_the_filter_rows_are_logged(store: SessionManager[Any, Any], log: Callable[[], str]) -> None:
    logger = logging.getLogger("sqlalchemy.engine.Engine.sessionstore")
    filters, logger.filters = logger.filters, []
    store.atomic_session_update("a", {"error_message": CANARY})
    try:
        store.report("sessions")
    finally:
        logger.filters = filters
    assert CANARY in log()


URLS = [
    f"postgresql://ann:{CANARY}@host/db",
    f"postgresql://ann:{CANARY}@x@host:port/db",
    f"postgresql://ann:a/{CANARY}@host/db",
    f"postgresql://{CANARY}@host/db",
    f"postgresql://host/db?user=ann&password={CANARY}",
    f"postgresql://host/db?sslmode=require&sslPassword={CANARY}&x=1",
    f"mysql+x://ann:{CANARY}\n@host/db",
    f"sqlite://ann:{CANARY}@/x.db",
    f"sqlite:///x.db?api_key={CANARY}",
]


@pytest.mark.parametrize("url", URLS)
def test_a_password_in_the_url_is_shown_nowhere(url: str, log: Callable[[], str]) -> None:
    assert CANARY not in refusal_of(lambda: SessionManager(database_url=url))
    settings = load_settings(database_url=url)
    for text in (repr(settings), str(settings), f"{settings!r}", without_secrets(url), log()):
        assert CANARY not in text
    assert Settings.model_validate(settings.model_dump()).database_url == url


def test_what_has_no_secret_is_shown_whole() -> None:
    for url in ("sqlite:///a@b:c/d.db", "sqlite:////var/lib/a:b@c.db", "postgresql://host/db?sslmode=require"):
        assert without_secrets(url) == url


def test_a_manager_and_a_run_show_names_only(store: SessionManager[Any, Any]) -> None:
    run = store.track("a", "gpu-1")
    assert CANARY not in repr(store) + repr(run)
