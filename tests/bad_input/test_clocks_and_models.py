"""Clocks that do not tell an aware time, and models that are none."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sessionstore import SessionManager
from sessionstore.testing import ManualClock
from tests.bad_input.conftest import SECRET, Refuses
from tests.conftest import OpenManager

NAIVE = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - the point
NO_TIMES = [NAIVE, 1_767_225_600.0, "2026-01-01T12:00:00Z", None]


@pytest.mark.parametrize("told", NO_TIMES, ids=str)
def test_a_clock_that_tells_no_aware_time_opens_nothing(open_manager: OpenManager, database: Path, told: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="clock"):
        open_manager(clock=lambda: told)
    assert not database.exists()


@pytest.mark.parametrize("bad", [7, SECRET, NAIVE], ids=str)
def test_a_clock_that_cannot_be_asked_opens_nothing(open_manager: OpenManager, database: Path, bad: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="clock"):
        open_manager(clock=bad)
    assert not database.exists()


@pytest.mark.parametrize("told", NO_TIMES, ids=str)
def test_a_clock_that_goes_wrong_later_changes_nothing(
    store: SessionManager, refuses: Refuses, clock: ManualClock, told: Any
) -> None:
    right = clock.now

    def with_the_wrong_time(act: Any) -> None:
        clock.now = told
        try:
            act()
        finally:
            clock.now = right

    for act in (
        lambda: store.create_session({"story_text": "A lamp."}),
        lambda: store.update_session_status("a", "completed"),
        lambda: store.with_session_lock("a", lambda session: session.scenes.clear()),
        lambda: store.get_session("a"),
    ):
        refuses(lambda act=act: with_the_wrong_time(act), "clock")
    assert store.update_session_status("a", "completed")


class WithoutNumber(BaseModel):
    """A scene model that does not say which scene is which."""

    title: str


@pytest.mark.parametrize("bad", [7, SECRET, dict, int, list[int], WithoutNumber(title="t"), None], ids=str)
@pytest.mark.parametrize("name", ["request_model", "scene_model"])
def test_a_model_that_is_no_pydantic_model_is_refused(
    open_manager: OpenManager, database: Path, name: str, bad: Any
) -> None:
    with pytest.raises(TypeError, match=name):
        open_manager(**{name: bad})
    assert not database.exists()


def test_a_scene_model_without_scene_number_is_refused(open_manager: OpenManager, database: Path) -> None:
    with pytest.raises(TypeError, match="scene_number"):
        open_manager(scene_model=WithoutNumber)
    assert not database.exists()


@pytest.mark.parametrize("bad", [7, SECRET, {"max_sessions": 5}], ids=str)
def test_settings_that_are_none_are_refused(open_manager: OpenManager, database: Path, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="settings"):
        open_manager(settings=bad)
    assert not database.exists()


@pytest.mark.parametrize("kind", ["backup", "snapshot"])
def test_a_copy_goes_to_a_new_file_in_a_folder_that_is_there(
    store: SessionManager, refuses: Refuses, tmp_path: Path, kind: str
) -> None:
    copy = getattr(store, kind)
    (tmp_path / "there").write_text("kept")
    for path in (tmp_path / "there", tmp_path, tmp_path / "missing" / "copy.db", store.settings.database_url[10:]):
        refuses(lambda path=path: copy(path), str(path), Exception)
    assert (tmp_path / "there").read_text() == "kept"


@pytest.mark.parametrize("bad", [None, 7, ["copy.db"], "copy\0.db"], ids=["none", "number", "list", "nul"])
@pytest.mark.parametrize("kind", ["backup", "snapshot"])
def test_a_copy_wants_a_path(store: SessionManager, refuses: Refuses, kind: str, bad: Any) -> None:
    refuses(lambda: getattr(store, kind)(bad), "path")
