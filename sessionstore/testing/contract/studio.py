"""A paid service for the tests of the ledger, and looks into its books and the ledger's."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from sessionstore.models import GenerationStatus
from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.providers import Provider
from sessionstore.testing.contract.group import (
    Execute,
    Manager,
    saved,
)
from sessionstore.testing.contract.tracking import Run, begin

REQUEST = {"prompt": "a fox at dusk", "seed": 7}
RESULT = {"url": "https://studio.example/1.png", "credits": [1, None, True]}


class Studio:
    """A paid service and its books: what it was sent, under which keys, and which jobs it was asked for."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.keys: list[str] = []
        self.asked: list[str] = []
        self.on_submit: Callable[[], object] = lambda: None
        self.on_fetch: Callable[[], object] = lambda: None
        self.results: list[Any] = []

    def provider(self, **fields: Any) -> Provider:
        functions: dict[str, Any] = {"submit": self._submit, "fetch": self._fetch, "poll_seconds": 0.001}
        return Provider(**({"name": "studio"} | functions | fields))

    def _submit(self, request: Any, *key: str) -> str:
        self.sent.append(request)
        self.keys += key
        self.on_submit()
        return f"job-{len(self.sent)}"

    def _fetch(self, job_id: str) -> Any:
        self.asked.append(job_id)
        self.on_fetch()
        return self.results.pop(0) if self.results else RESULT


def raising(error: BaseException) -> Callable[[], object]:
    """What a provider does that raises `error`."""

    def fail() -> object:
        raise error

    return fail


def in_the_books(execute: Execute, *columns: Any) -> list[Any]:
    """The ledger, the oldest call first; of each its state and these columns."""
    rows = execute(select(ProviderCallRow.state, *columns).order_by(ProviderCallRow.intended_at, ProviderCallRow.state))
    return rows if columns else [row.state for row in rows]


def buy(run: Run, studio: Studio, scene_number: int = 1, **provider: Any) -> Any:
    """One call of the run for a scene."""
    return run.call(studio.provider(**provider), scene_number, REQUEST)


def interrupt(manager: Manager, studio: Studio, **provider: Any) -> str:
    """A worker is interrupted in the middle of a call for scene 1, and gives the session back; its id."""
    run = begin(manager)

    def work() -> None:
        with run:
            buy(run, studio, **provider)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert saved(manager, run.session_id).status is GenerationStatus.PENDING
    studio.on_submit = studio.on_fetch = lambda: None
    return run.session_id
