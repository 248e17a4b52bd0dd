"""Where the values come from, what is made of them, and the manager of the module."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sessionstore.manager import SessionManager
from sessionstore.settings import Settings
from sessionstore.testing.contract.group import ContractGroup, OpenManager, a_request, saved

# A setting, how the environment gives it, and its value.
CHOICES = [
    ("max_sessions", "7", 7),
    ("max_sessions", "none", None),
    ("cleanup_interval", "60", 60.0),
    ("cleanup_interval", "none", None),
    ("eviction", "reject", "reject"),
    ("session_max_age_hours", "48", 48.0),
    ("completed_retention_hours", "0.5", 0.5),
    ("stuck_after_minutes", "5", 5.0),
    ("lock_timeout", "2.5", 2.5),
    ("durability", "normal", "normal"),
]


def run_python(code: str, database_url: str) -> "subprocess.CompletedProcess[str]":
    """`code` in a process of its own, whose environment names the database."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("SESSIONSTORE_")}
    environment["SESSIONSTORE_DATABASE_URL"] = database_url
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


class SettingsContract(ContractGroup):
    """Every value can be given as an argument, in the environment, or by default."""

    def test_the_defaults_are_those_of_the_design(self, open_manager: OpenManager) -> None:
        settings = open_manager().settings

        assert (settings.max_sessions, settings.cleanup_interval, settings.eviction) == (100, 3600, "oldest")
        assert (settings.session_max_age_hours, settings.failed_retention_hours) == (24, 1)
        assert (settings.completed_retention_hours, settings.cancelled_retention_hours) == (6, 6)
        assert settings.stuck_after_minutes == 30
        assert (settings.durability, settings.auto_migrate) == ("full", True)
        assert Settings.model_fields["database_url"].default == "sqlite:///sessionstore.db"

    @pytest.mark.parametrize(("name", "text", "value"), CHOICES)
    def test_the_environment_gives_what_no_argument_does(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
    ) -> None:
        monkeypatch.setenv(f"SESSIONSTORE_{name.upper()}", text)

        assert getattr(open_manager().settings, name) == value

    @pytest.mark.parametrize(("name", "text", "value"), CHOICES)
    def test_an_argument_counts_more_than_the_environment(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
    ) -> None:
        other = {"max_sessions": "3", "eviction": "finished", "durability": "full"}.get(name, "9")
        monkeypatch.setenv(f"SESSIONSTORE_{name.upper()}", other)

        assert getattr(open_manager(**{name: value}).settings, name) == value

    def test_the_environment_names_the_database(
        self, open_manager: OpenManager, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session_id = open_manager().create_session(a_request())
        monkeypatch.setenv("SESSIONSTORE_DATABASE_URL", database_url)

        with SessionManager() as manager:
            assert saved(manager, session_id).session_id == session_id

    def test_the_first_two_arguments_have_no_need_of_names(self, open_manager: OpenManager, database_url: str) -> None:
        with SessionManager(3, 60, database_url=database_url) as manager:
            assert (manager.settings.max_sessions, manager.settings.cleanup_interval) == (3, 60)

    def test_settings_can_be_handed_in_whole_and_overridden(
        self, open_manager: OpenManager, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SESSIONSTORE_MAX_SESSIONS", "9")
        chosen = Settings(database_url=database_url, max_sessions=3, eviction="reject")

        with SessionManager(settings=chosen, eviction="finished") as manager:
            assert (manager.settings.max_sessions, manager.settings.eviction) == (3, "finished")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_sessions", 0),
            ("max_sessions", "many"),
            ("cleanup_interval", 0),
            ("eviction", "newest"),
            ("lock_timeout", -1),
            ("failed_retention_hours", -1),
            ("session_max_age_hours", float("nan")),
        ],
    )
    def test_a_setting_out_of_range_is_refused_by_name(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch, name: str, value: object
    ) -> None:
        with pytest.raises(ValueError, match=name):
            open_manager(**{name: value})

        monkeypatch.setenv(f"SESSIONSTORE_{name.upper()}", str(value))
        with pytest.raises(ValueError, match=f"SESSIONSTORE_{name.upper()}"):
            open_manager()

    def test_an_argument_that_is_no_setting_is_refused_by_name(self, open_manager: OpenManager) -> None:
        with pytest.raises((TypeError, ValueError), match="max_session"):
            open_manager(max_session=7)

    def test_a_variable_that_is_no_setting_is_refused_by_name(
        self, open_manager: OpenManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SESSIONSTORE_MAX_SESSION", "7")

        with pytest.raises(ValueError, match="SESSIONSTORE_MAX_SESSION"):
            open_manager()

    @pytest.mark.parametrize("kind", [dict, SimpleNamespace])
    def test_a_manager_can_be_made_from_a_configuration(
        self, open_manager: OpenManager, database_url: str, kind: type[dict[str, object]] | type[SimpleNamespace]
    ) -> None:
        config = kind(database_url=database_url, max_sessions=2, eviction="reject", colour="red")

        with SessionManager.create_with_config(config) as manager:
            assert (manager.settings.max_sessions, manager.settings.eviction) == (2, "reject")
            assert manager.settings.database_url == database_url

    # The manager of the module

    def test_the_manager_of_the_module_is_made_on_first_use_from_the_environment(
        self, open_manager: OpenManager, database_url: str
    ) -> None:
        code = "from sessionstore import session_manager as m; print(m.create_session({'story_text': 'A fox.'}))"

        done = run_python(code, database_url)

        assert (done.returncode, done.stderr) == (0, "")
        assert saved(open_manager(), done.stdout.strip()).request_data.story_text == "A fox."

    def test_importing_the_manager_of_the_module_opens_no_database(self, unusable_database_url: str) -> None:
        code = "from sessionstore import session_manager; print('imported'); session_manager.get_session_count()"

        done = run_python(code, unusable_database_url)

        assert done.stdout.strip() == "imported"
        assert "DatabaseUnavailableError" in done.stderr
