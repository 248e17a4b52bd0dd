"""What is raised: one root, each error pickles whole, and a database that cannot be used is one that says so."""

import pickle

import pytest
from sqlalchemy import column, table, update

import sessionstore
from sessionstore.errors import (
    DatabaseUnavailableError,
    IdempotencyConflictError,
    LeaseHeldError,
    LeaseLostError,
    ManagerClosedError,
    SchemaError,
    SessionCapacityError,
    SessionCorruptedError,
    SessionLockError,
    SessionManagerError,
    SessionNotFoundError,
    WaitTimeoutError,
)
from sessionstore.testing.contract.group import ContractGroup, Execute, Manager, OpenManager, a_request

VERSION = table("alembic_version", column("version_num"))

ERRORS = [
    SessionManagerError("It failed."),
    SessionNotFoundError("There is no session 'a'.", session_id="a"),
    SessionCapacityError("Full.", max_sessions=5),
    SessionLockError("Not free.", lock_timeout=0.5),
    IdempotencyConflictError("Another request.", session_id="a"),
    SessionCorruptedError("Does not validate.", session_id="a", where="scenes"),
    LeaseHeldError("Held.", session_id="a", holder="gpu-1"),
    LeaseLostError("Lost.", session_id="a", holder=None),
    WaitTimeoutError("Not finished.", session_id="a", status="processing", seconds=2.5),
    ManagerClosedError("Shut down."),
    DatabaseUnavailableError("Away.", in_doubt=True),
    SchemaError("Ahead.", found="9999", expected="0002"),
]


class ErrorsContract(ContractGroup):
    """The hierarchy, and the errors of opening."""

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_every_error_is_one_of_the_stores_own_and_exported(self, error: SessionManagerError) -> None:
        assert isinstance(error, SessionManagerError)
        assert getattr(sessionstore, type(error).__name__) is type(error)

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_every_error_pickles_whole(self, error: SessionManagerError) -> None:
        copy = pickle.loads(pickle.dumps(error))

        assert type(copy) is type(error)
        assert (str(copy), vars(copy)) == (str(error), vars(error))

    def test_a_session_that_is_not_found_is_a_value_error_too(self, manager: Manager) -> None:
        with pytest.raises(ValueError, match="nobody"):
            manager.with_session_lock("nobody", lambda session: None)

    def test_an_error_of_a_call_pickles_whole(self, open_manager: OpenManager) -> None:
        manager = open_manager(max_sessions=1, eviction="reject")
        manager.create_session(a_request())
        with pytest.raises(SessionCapacityError) as caught:
            manager.create_session(a_request())

        copy = pickle.loads(pickle.dumps(caught.value))

        assert (str(copy), copy.max_sessions) == (str(caught.value), 1)

    # Opening

    def test_a_database_that_cannot_be_used_is_unavailable(
        self, open_manager: OpenManager, unusable_database_url: str
    ) -> None:
        with pytest.raises(DatabaseUnavailableError):
            open_manager(database_url=unusable_database_url)

    @pytest.mark.parametrize("database_url", ["", "sessionstore.db", "nonsense://host/name", "://", "sqlite:/"])
    def test_a_malformed_url_is_refused_by_name(self, open_manager: OpenManager, database_url: str) -> None:
        with pytest.raises(ValueError, match="database_url"):
            open_manager(database_url=database_url)

    def test_a_schema_ahead_of_the_code_is_an_error_that_says_so(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        open_manager().shutdown()
        execute(update(VERSION).values(version_num="9999"))

        with pytest.raises(SchemaError, match=r"9999.*ahead") as caught:
            open_manager()

        assert caught.value.found == "9999"

    def test_a_schema_behind_the_code_is_an_error_that_says_what_to_run(
        self, open_manager: OpenManager, execute: Execute
    ) -> None:
        open_manager().shutdown()
        execute(update(VERSION).values(version_num="0001"))

        with pytest.raises(SchemaError, match=r"0001.*sessionstore migrate") as caught:
            open_manager(auto_migrate=False)

        assert caught.value.found == "0001"

    def test_a_schema_nobody_made_is_an_error_that_names_it(self, open_manager: OpenManager, execute: Execute) -> None:
        open_manager().shutdown()
        execute(update(VERSION).values(version_num="abcdef"))

        with pytest.raises(SchemaError, match="abcdef"):
            open_manager()

    def test_a_schema_that_is_the_codes_needs_no_migration(self, open_manager: OpenManager) -> None:
        before = open_manager()
        before.create_session(a_request())
        before.shutdown()

        assert open_manager(auto_migrate=False).get_session_count() == 1
