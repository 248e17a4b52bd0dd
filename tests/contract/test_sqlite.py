"""SQLite, held to the contract of the store."""

import shutil
from pathlib import Path

import pytest

from sessionstore import restore
from sessionstore.testing.contract import Restore, StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture
    def database_url(self, tmp_path: Path, empty_store: Path) -> str:
        return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'sessions.db')}"

    @pytest.fixture
    def unusable_database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'no such folder' / 'sessions.db'}"

    @pytest.fixture
    def restore(self, tmp_path: Path) -> Restore:
        def restore_beside(backup: Path) -> str:
            database_url = f"sqlite:///{tmp_path / 'restored.db'}"
            restore(backup, database_url)
            return database_url

        return restore_beside
