"""The contract of the store as tests: what `SessionManager` promises, whatever engine keeps it.

An engine is bound to it by one class with three fixtures, and has to pass everything in it:

    class TestSqlite(StoreContract):
        @pytest.fixture
        def database_url(self, tmp_path: Path) -> str: ...            # an empty database, another for each test

        @pytest.fixture
        def unusable_database_url(self, tmp_path: Path) -> str: ...   # this engine's, but nothing can be kept there

        @pytest.fixture
        def restore(self) -> Restore: ...                             # opens what `backup(path)` wrote: path -> URL

The tests get the rest from these: `clock`, a `ManualClock`; `open_manager(**arguments)`, a manager on the database,
shut down after the test; `manager`, one with the defaults; `execute(statement)`, SQL beside the manager. A test
knows no engine: it speaks to the manager and, where something must be broken first, to the tables through SQLAlchemy.

One verb group a file; each class can also be bound alone. Needs pytest, which nothing else in the package does.
"""

import pkgutil

import pytest

# Before any of them is imported, so that a failing assert shows its values.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

from sessionstore.testing.contract.group import ContractGroup, Restore  # noqa: E402
from sessionstore.testing.contract.store import StoreContract  # noqa: E402

__all__ = ["ContractGroup", "Restore", "StoreContract"]
