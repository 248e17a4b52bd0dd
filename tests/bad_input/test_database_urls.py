"""Database URLs that cannot be read, or name what there is no engine for."""

import traceback
from pathlib import Path
from typing import Any

import pytest

from sessionstore import DatabaseUnavailableError, SessionManager
from tests.bad_input.conftest import MAX_MESSAGE_CHARACTERS, SECRET

MALFORMED = [
    pytest.param("", id="empty"),
    pytest.param(" ", id="blank"),
    pytest.param("sessions.db", id="path"),
    pytest.param("/var/lib/sessions.db", id="absolute path"),
    pytest.param("://", id="punctuation"),
    pytest.param("sqlite:", id="scheme"),
    pytest.param("sqlite:/sessions.db", id="one slash"),
    pytest.param("sqlite://sessions.db", id="two slashes"),
    pytest.param("sqlite://", id="no path"),
    pytest.param("sqlite:///", id="empty path"),
    pytest.param("sqlite:///:memory:", id="memory"),
    pytest.param("sqlite:///file:sessions?mode=memory", id="memory uri"),
    pytest.param("sqlite:///file:sessions.db", id="file uri"),
    pytest.param("sqlite:///sessions.db?mode=ro&uri=true", id="options"),
    pytest.param("sqlite:///what?.db", id="question mark in the path"),
    pytest.param("sqlite:///sessions\0.db", id="nul"),
    pytest.param("sqlite:///sessions\ud800.db", id="lone surrogate"),
    pytest.param(f"sqlite://{SECRET}@/sessions.db", id="user"),
    pytest.param(f"sqlite://ann:{SECRET}@host:5/sessions.db", id="user, password, host and port"),
    pytest.param("sqlite+aiosqlite:///sessions.db", id="another sqlite driver"),
    pytest.param(f"postgresql://ann:{SECRET}@host/sessions", id="postgresql"),
    pytest.param(f"postgresql://ann:{SECRET}@host:port/sessions", id="a port that is none"),
    pytest.param(f"mysql+pymysql://ann:{SECRET}@host/sessions?ssl=true", id="mysql"),
    pytest.param(f"https://ann:{SECRET}@example.org/", id="web address"),
    pytest.param(SECRET * 1_000_000 + "://host/sessions", id="scheme of 7 MB"),
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths lead here, so that whatever a wrong URL makes can be seen."""
    monkeypatch.chdir(tmp_path)


def assert_refused(error: BaseException, name: str) -> None:
    assert name in str(error)
    assert len(str(error)) < MAX_MESSAGE_CHARACTERS
    assert SECRET not in "".join(traceback.format_exception(error))
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("url", MALFORMED)
def test_a_url_that_names_no_file_is_refused_without_making_anything(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        SessionManager(database_url=url)
    assert_refused(caught.value, "database_url")


@pytest.mark.parametrize("url", [each for each in MALFORMED if each.id not in {"nul", "lone surrogate"}])
def test_a_url_of_the_environment_that_names_no_file_is_refused_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if len(url) > 100_000:
        url = url[:20_000]  # The system has a limit of its own for a variable.
    monkeypatch.setenv("SESSIONSTORE_DATABASE_URL", url)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        SessionManager()
    assert_refused(caught.value, "database_url")


@pytest.mark.parametrize("bad", [7, ["sqlite:///x.db"], Path("sessions.db"), True], ids=repr)
def test_a_url_that_is_no_text_is_refused(bad: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        SessionManager(database_url=bad)
    assert_refused(caught.value, "database_url")


@pytest.mark.parametrize("characters", [300, 10_000, 7_000_000])
def test_a_path_longer_than_the_file_system_takes_is_refused_without_end(characters: int) -> None:
    with pytest.raises((ValueError, DatabaseUnavailableError)) as caught:
        SessionManager(database_url=f"sqlite:///{'x' * characters}.db")
    assert len(str(caught.value)) < 2 * MAX_MESSAGE_CHARACTERS
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["with space.db", "100%.db", "%20.db", "a#b.db", "Bühne \N{BRIDGE AT NIGHT}.db", "a;b&c=d.db", "'quoted\".db"],
)
def test_a_path_with_unusual_characters_is_taken_as_it_is(name: str, tmp_path: Path) -> None:
    with SessionManager(database_url=f"sqlite:///{tmp_path / name}") as manager:
        session_id = manager.create_session({"story_text": "A lamp."})
    with SessionManager(database_url=f"sqlite:///{name}", auto_migrate=False) as manager:
        assert manager.get_session(session_id) is not None
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_manager_says_which_file_it_is_on(tmp_path: Path) -> None:
    with SessionManager(database_url="sqlite:///sessions.db") as manager:
        assert repr(manager) == f"<SessionManager on {tmp_path / 'sessions.db'}>"
