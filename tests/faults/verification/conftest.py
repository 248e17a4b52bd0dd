"""A verification as the tests want it: on a folder of their own, of some scenarios, perhaps with something planted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sessionstore.verification import children, run
from sessionstore.verification.scenarios import disk_full
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
def trying(tmp_path: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch) -> Trying:
    """`trying(scenario, ..., seconds=)` beside a database that does not exist.

    Nothing is cut off for being slow: other tests run meanwhile.
    """
    monkeypatch.setattr(run, "OVERTIME_SECONDS", 60)
    monkeypatch.setattr(disk_full, "FEEL_SECONDS", 30)

    def run_them(*scenarios: ScenarioName, seconds: float, max_bytes: int = MAX_BYTES) -> Verification:
        return run.verify(
            f"sqlite:///{tmp_path / 'stories.db'}",
            scenarios=scenarios,
            seconds=seconds,
            max_bytes=max_bytes,
            durability="full",
            lock_timeout=30,
            watcher=witness,
        )

    return run_them


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`plant("no fences")`: from now on the children lack that."""

    def choose(*names: str) -> None:
        monkeypatch.setattr(children, "LAUNCHER", planted.__name__)
        monkeypatch.setenv(planted.VARIABLE, ", ".join(names))

    return choose
