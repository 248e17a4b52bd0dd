"""What was found of each promise, and of all of them together."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sessionstore.models import Finding

Figure = int | float | str

MEGABYTE = 1_000_000

# More of them would say nothing new, and fill the page.
MAX_REASONS = 5


class ScenarioName(StrEnum):
    """What can be tried, in the order in which it is."""

    DISK = "disk"
    KILL = "kill"
    LOCK_STORM = "lock-storm"
    DISK_FULL = "disk-full"
    ZOMBIE = "zombie"


class Verdict(StrEnum):
    """What can be said of a promise afterwards."""

    HELD = "held"
    DID_NOT_HOLD = "did not hold"
    NOT_TRIED = "not tried"


class CannotBeginError(ValueError):
    """Nothing was tried: there is no place for it, or no room."""


class NotTriedError(Exception):
    """The fault could not be brought about here; the message says why."""


class Trial:
    """What a scenario finds while it runs; of use at any moment, should it be cut off."""

    def __init__(self) -> None:
        self.extent = ""
        self.figures: dict[str, Figure] = {}
        self.notes: list[str] = []
        self.reasons: list[str] = []
        self.failures = 0

    def fail(self, *reasons: str) -> None:
        """The promise did not hold; the first few reasons are kept, all are counted."""
        self.failures += len(reasons)
        self.reasons += reasons[: MAX_REASONS - len(self.reasons)]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One scenario: what was promised, what was done, what was found.

    `reasons` say why it did not hold or was not tried, `notes` what else a reader should know. Names of `figures` end
    in their unit.
    """

    scenario: ScenarioName
    promise: str
    verdict: Verdict
    extent: str
    seconds: float
    reasons: list[str]
    notes: list[str]
    figures: dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All that was tried in one run, where, and with what. `findings` are the doctor's, of a new scratch database."""

    database_url: str
    folder: str
    file_system: str
    machine: str
    version: str
    durability: str
    max_bytes: int
    budget_seconds: float
    begun_at: datetime
    seconds: float
    findings: list[Finding]
    results: list[Result]

    @property
    def verdict(self) -> Verdict:
        """Held only when something did, and nothing did not."""
        found = {result.verdict for result in self.results}
        for verdict in (Verdict.DID_NOT_HOLD, Verdict.HELD):
            if verdict in found:
                return verdict
        return Verdict.NOT_TRIED
