"""Settings: each by argument, by the environment and by default; what is unknown or out of range is refused by name."""

import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from sessionstore import SessionManager, Settings
from sessionstore.settings import load_settings
from tests.bad_input.conftest import MAX_MESSAGE_CHARACTERS, SECRET
from tests.conftest import OpenManager

# For each setting: its default, what the environment says instead, what that means, and what an argument says.
CHOICES: dict[str, tuple[Any, str, Any, Any]] = {
    "database_url": (
        "sqlite:///sessionstore.db",
        "sqlite:///from-environment.db",
        "sqlite:///from-environment.db",
        "sqlite:///from-argument.db",
    ),
    "max_sessions": (100, "7", 7, 8),
    "eviction": ("oldest", "finished", "finished", "reject"),
    "cleanup_interval": (3600, "60", 60, 61.5),
    "cleanup_batch_sessions": (500, "20", 20, 21),
    "session_max_age_hours": (24, "48", 48, 49),
    "failed_retention_hours": (1, "0.5", 0.5, 0),
    "completed_retention_hours": (6, "12", 12, 13),
    "cancelled_retention_hours": (6, "14", 14, 15),
    "event_retention_days": (30, "60", 60, 61),
    "tombstone_retention_days": (365, "1e3", 1000, 366),
    "stuck_after_minutes": (30, "5", 5, 6),
    "recovery_interval": (1, "2.5", 2.5, 3),
    "max_attempts": (3, "5", 5, 6),
    "summary_interval": (1, "2", 2, None),
    "durability": ("full", "normal", "normal", "full"),
    "lock_timeout": (30, "0.25", 0.25, 0.5),
    "touch_interval": (5, "1", 1, 2),
    "auto_migrate": (True, "false", False, True),
    "max_payload_bytes": (1_048_576, "2048", 2048, 4096),
    "max_payload_depth": (64, "8", 8, 150),
    "max_scenes": (10_000, "12", 12, 13),
    "max_bulk_sessions": (10_000, "1", 1, 20),
    "max_page_sessions": (1000, "50", 50, 100_000),
}
NAMES = list(CHOICES)

OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("max_sessions", 0),
    ("max_sessions", -1),
    ("max_sessions", 2.5),
    ("eviction", "newest"),
    ("cleanup_interval", 0),
    ("cleanup_interval", -1),
    ("cleanup_interval", "nan"),
    ("cleanup_interval", "inf"),
    ("cleanup_batch_sessions", 0),
    ("cleanup_batch_sessions", 10_001),
    ("session_max_age_hours", -0.5),
    ("failed_retention_hours", -1),
    ("completed_retention_hours", "nan"),
    ("cancelled_retention_hours", "inf"),
    ("event_retention_days", -1),
    ("tombstone_retention_days", "-inf"),
    ("stuck_after_minutes", -1),
    ("recovery_interval", 0),
    ("recovery_interval", "inf"),
    ("max_attempts", 0),
    ("summary_interval", 0),
    ("durability", "off"),
    ("lock_timeout", 0),
    ("lock_timeout", "nan"),
    ("touch_interval", 0),
    ("auto_migrate", "perhaps"),
    ("max_payload_bytes", 1023),
    ("max_payload_depth", 0),
    ("max_payload_depth", 151),
    ("max_scenes", 0),
    ("max_bulk_sessions", 0),
    ("max_page_sessions", 49),
    ("max_page_sessions", 100_001),
]


def variable(name: str) -> str:
    return f"SESSIONSTORE_{name.upper()}"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(**given: Any) -> str:
    """What a manager says that refuses to be made; nothing may have been made by then."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        SessionManager(**given)
    assert list(Path().iterdir()) == []
    assert len(str(caught.value)) < MAX_MESSAGE_CHARACTERS
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_every_setting_there_is_is_tested_here() -> None:
    assert set(CHOICES) == set(Settings.model_fields)
    assert {name for name, _ in OUT_OF_RANGE} == set(Settings.model_fields) - {"database_url"}


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_has_its_default(name: str) -> None:
    assert getattr(load_settings(), name) == CHOICES[name][0]


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_comes_before_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text, meaning, _ = CHOICES[name]
    monkeypatch.setenv(variable(name), text)
    assert getattr(load_settings(), name) == meaning


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_comes_before_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text, _, argument = CHOICES[name]
    monkeypatch.setenv(variable(name), text)
    with SessionManager(**{name: argument}) as manager:
        assert getattr(manager.settings, name) == argument


@pytest.mark.parametrize("name", [name for name in NAMES if name != "auto_migrate"])
def test_a_manager_takes_its_settings_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text, meaning, _ = CHOICES[name]
    monkeypatch.setenv(variable(name), text)
    with SessionManager() as manager:
        assert getattr(manager.settings, name) == meaning


@pytest.mark.parametrize("name", NAMES)
def test_a_settings_object_replaces_the_environment_and_an_argument_replaces_its_value(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    default, text, meaning, argument = CHOICES[name]
    monkeypatch.setenv(variable(name), text)
    assert getattr(load_settings(Settings.model_construct(**{name: argument})), name) == argument
    assert getattr(load_settings(Settings(**{name: default}), **{name: meaning}), name) == meaning


def test_the_defaults_in_the_signature_are_those_of_the_settings() -> None:
    with SessionManager() as manager:
        assert (manager.settings.max_sessions, manager.settings.cleanup_interval) == (100, 3600)


def test_the_two_arguments_of_the_ancestor_may_be_given_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_MAX_SESSIONS", "7")
    with SessionManager(100, 3600) as manager:
        assert (manager.settings.max_sessions, manager.settings.cleanup_interval) == (100, 3600)


@pytest.mark.parametrize("text", ["none", "None", "unbounded", " NONE "])
@pytest.mark.parametrize("name", ["max_sessions", "cleanup_interval"])
def test_the_environment_can_say_no_limit(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), text)
    assert getattr(load_settings(), name) is None


def test_an_argument_can_say_no_limit() -> None:
    with SessionManager(None, None) as manager:
        assert (manager.settings.max_sessions, manager.settings.cleanup_interval) == (None, None)
        assert manager.get_health_status()["cleanup_active"] == "no"


@pytest.mark.parametrize(("name", "bad"), OUT_OF_RANGE)
def test_an_argument_out_of_range_is_refused_by_its_name(name: str, bad: Any) -> None:
    message = refusal(**{name: bad})
    assert message.startswith(name)
    assert variable(name) not in message


@pytest.mark.parametrize(("name", "bad"), OUT_OF_RANGE)
def test_a_variable_out_of_range_is_refused_by_its_name(name: str, bad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), str(bad))
    assert variable(name) in refusal()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "database_url"])
def test_a_value_that_is_refused_is_not_repeated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name in refusal(**{name: SECRET})
    assert name in refusal(**{name: [SECRET]})
    monkeypatch.setenv(variable(name), SECRET)
    assert name in refusal()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), "")
    assert name in refusal()


@pytest.mark.parametrize("name", ["max_session", "echo", "clock_"])
def test_an_argument_that_is_no_setting_is_refused_by_its_name(name: str) -> None:
    assert name in refusal(**{name: 5})


@pytest.mark.parametrize(
    "name", [SECRET * 10_000, f"\x1b[2J{SECRET}", f"{SECRET} more", "\ud800"], ids=lambda name: ascii(name)[:12]
)
def test_a_name_that_no_setting_could_have_is_not_repeated(name: str) -> None:
    assert "[...] is no setting of sessionstore" in refusal(**{name: 5})


def test_a_misspelt_name_is_told_the_nearest() -> None:
    assert "did you mean max_sessions?" in refusal(max_session=5)


@pytest.mark.parametrize(
    "name", ["SESSIONSTORE_MAX_SESSION", "SESSIONSTORE_", "SESSIONSTORE_LOCKTIMEOUT", "sessionstore_Echo"]
)
def test_a_variable_that_is_no_setting_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET)
    assert name in refusal()


def test_a_misspelt_variable_is_told_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_MAX_SESSION", "5")
    assert "did you mean SESSIONSTORE_MAX_SESSIONS?" in refusal()


def test_variables_of_the_test_suite_and_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_TEST_ANYTHING", "1")
    monkeypatch.setenv("MAX_SESSIONS", "7")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///elsewhere.db")
    assert load_settings() == Settings()
    assert load_settings().max_sessions == 100


def test_a_variable_may_be_written_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("sessionstore_max_sessions", "7")
    assert load_settings().max_sessions == 7


def test_several_mistakes_are_named_together() -> None:
    message = refusal(max_sessions=0, durability="off")
    assert "max_sessions" in message
    assert "durability" in message


def test_settings_cannot_be_changed_in_place(open_manager: OpenManager) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        open_manager().settings.max_sessions = 5  # type: ignore[misc]  # the point


@pytest.mark.parametrize("kind", [dict, SimpleNamespace])
def test_a_configuration_gives_the_settings_it_has_names_for(
    kind: Any, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSTORE_LOCK_TIMEOUT", "9")
    config = kind(database_url=f"sqlite:///{database}", max_sessions=3, colour="red")
    with SessionManager.create_with_config(config) as manager:
        assert (manager.settings.max_sessions, manager.settings.lock_timeout) == (3, 9)
    assert database.exists()


def test_a_configuration_with_a_value_out_of_range_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"^max_sessions"):
        SessionManager.create_with_config({"max_sessions": 0})


def test_the_settings_in_force_decide(open_manager: OpenManager) -> None:
    manager = open_manager(max_payload_bytes=1024)
    with pytest.raises(ValueError, match=r"limit is 1,024 \(setting max_payload_bytes\)"):
        manager.create_session({"story_text": "x" * 1024})
