"""The same examination with a protection taken away: it must fail, or it would see nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from sessionstore.persistence import codec
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.payload import Limits
from tests.bad_input.conftest import SECRET
from tests.faults.values.examination import EVERYWHERE, examine
from tests.faults.values.stage import Stage

INJECTION = "x' WHERE 0; DROP VIEW report_stuck; --"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path / "sessions.db") as stage:
        yield stage


def test_control_without_parameters_a_value_changes_the_schema(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    place = EVERYWHERE["update_session_status(error_message)"]
    examine(stage, place, lambda: INJECTION)
    execute = Executor._execute

    def put_together(self: Executor, sql: str, values: Any, take: Any) -> Any:
        if not sql.startswith("UPDATE sessions SET status"):
            return execute(self, sql, values, take)
        text = re.sub(r":(\w+)", lambda name: f"'{values[name[1]]}'", sql)
        for statement in text.split(";"):
            execute(self, statement.partition("--")[0] or "SELECT 1", {}, take)
        # As many rows as the store looks for.
        return 1

    monkeypatch.setattr(Executor, "_execute", put_together)
    with pytest.raises(AssertionError):
        examine(stage, place, lambda: INJECTION)
    assert not [name for _, name, *_ in stage.schema() if name == "report_stuck"]


def test_control_with_the_value_in_the_message_it_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    place, value = EVERYWHERE["update_session_status(error_message)"], f"{SECRET}\0"
    assert examine(stage, place, lambda: value) == "refused"

    def repeat(text: str, name: str, max_bytes: int) -> str:
        if name == "error_message":
            raise ValueError(f"{name} must not be {text}")
        return text

    monkeypatch.setattr(codec, "checked_text", repeat)
    with pytest.raises(AssertionError):
        examine(stage, place, lambda: value)


def test_control_with_the_value_in_the_cause_it_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def chain(text: str, name: str, max_bytes: int) -> str:
        if name == "error_message":
            raise ValueError(f"{name} cannot be stored") from ValueError(text)
        return text

    monkeypatch.setattr(codec, "checked_text", chain)
    with pytest.raises(AssertionError):
        examine(stage, EVERYWHERE["update_session_status(error_message)"], lambda: SECRET)


def test_control_without_validation_another_value_comes_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    place = EVERYWHERE["create_session(metadata): in it"]
    assert examine(stage, place, lambda: (float("nan"),)) == "refused"

    def write_anything(document: Any, name: str, limits: Limits) -> str:
        return to_json(document, inf_nan_mode="null").decode()

    monkeypatch.setattr(codec, "json_text", write_anything)
    with pytest.raises(AssertionError):
        examine(stage, place, lambda: (float("nan"),))
