"""Stores that break a promise, for the controls: each is what the store would be without one of its protections."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sessionstore import DatabaseUnavailableError
from sessionstore.persistence.engines.sqlite.connections import HeldConnection
from sessionstore.persistence.engines.sqlite.engine import SqliteEngine
from sessionstore.persistence.engines.sqlite.writer import Writer


def _swallow_errors_of_commits() -> None:
    commit = Writer.commit

    def commit_or_not(self: Writer, held: HeldConnection, proof: list[Any]) -> None:
        with suppress(DatabaseUnavailableError):
            commit(self, held, proof)
            return
        proof.append(None)

    Writer.commit = commit_or_not  # type: ignore[method-assign]


def _keep_what_failed() -> None:
    commit = Writer.commit
    failed: list[Writer] = []

    def commit_unless_failed(self: Writer, held: HeldConnection, proof: list[Any]) -> None:
        if self in failed:
            raise DatabaseUnavailableError("it failed once")
        try:
            commit(self, held, proof)
        except DatabaseUnavailableError:
            failed.append(self)
            raise

    Writer.commit = commit_unless_failed  # type: ignore[method-assign]


def _let_errors_of_the_driver_out() -> None:
    def commit(self: Writer, held: HeldConnection, proof: list[Any]) -> None:
        proof.extend(map(held.driver.execute, ("COMMIT",)))

    Writer.commit = commit  # type: ignore[method-assign]


def _remove_what_cannot_be_read() -> None:
    read = SqliteEngine._run_read

    def read_or_remove(self: SqliteEngine, work: Any) -> Any:
        try:
            return read(self, work)
        except DatabaseUnavailableError:
            os.unlink(f"{self}-wal")
            raise

    SqliteEngine._run_read = read_or_remove  # type: ignore[method-assign]


FLAWS: dict[str, Callable[[], None]] = {
    "acknowledges commits that failed": _swallow_errors_of_commits,
    "stays broken": _keep_what_failed,
    "lets errors of the driver out": _let_errors_of_the_driver_out,
    "removes what cannot be read": _remove_what_cannot_be_read,
}
