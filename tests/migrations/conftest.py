"""Alembic as its users run it, on the database of the test."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from sessionstore.persistence.migrations import scripts_folder


@pytest.fixture
def config(database: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Alembic's own commands, on the database of the test."""
    monkeypatch.setenv("SESSIONSTORE_DATABASE_URL", f"sqlite:///{database}")
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    return config


@pytest.fixture
def revisions(config: Config) -> list[str]:
    """All revisions, oldest first."""
    scripts = ScriptDirectory.from_config(config)
    return [script.revision for script in scripts.walk_revisions()][::-1]
