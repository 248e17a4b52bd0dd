"""A verification as the tests want it: on a folder of their own, of some scenarios, perhaps with something planted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore.verification import children
from sessionstore.verification.run import verify
from sessionstore.verification.verdicts import Result, ScenarioName, Verification
from tests.faults.verification import planted

MAX_BYTES = 64_000_000


class Witness:
    """Hears how a run goes."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def begins(self, name: ScenarioName) -> None:
        self.heard.append(f"begins {name}")

    def says(self, name: ScenarioName, text: str) -> None:
        self.heard.append(f"{name}: {text}")

    def ends(self, result: Result) -> None:
        self.heard.append(f"ends {result.scenario}")

    def remark(self, text: str) -> None:
        self.heard.append(text)


Trying = Callable[..., Verification]


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def trying(tmp_path: Path, witness: Witness) -> Trying:
    """`trying(scenario, ..., seconds=)` beside a database that does not exist."""

    def run(*scenarios: ScenarioName, seconds: float, max_bytes: int = MAX_BYTES) -> Verification:
        return verify(
            f"sqlite:///{tmp_path / 'stories.db'}",
            scenarios=scenarios,
            seconds=seconds,
            max_bytes=max_bytes,
            durability="full",
            lock_timeout=30,
            watcher=witness,
        )

    return run


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`plant("no fences")`: from now on the children lack that."""

    def choose(*names: str) -> None:
        monkeypatch.setattr(children, "LAUNCHER", planted.__name__)
        monkeypatch.setenv(planted.VARIABLE, ", ".join(names))

    return choose
