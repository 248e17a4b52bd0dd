"""What is tried: a module for each promise. `try_it` brings the fault about and notes in the trial what it finds."""

from collections.abc import Callable
from dataclasses import dataclass

from sessionstore.verification.ground import Ground
from sessionstore.verification.scenarios import disk, disk_full, kill, lock_storm, zombie
from sessionstore.verification.verdicts import ScenarioName, Trial

TryIt = Callable[[Ground, Trial], None]


@dataclass(frozen=True)
class Scenario:
    """`share` is how much of the time it gets, beside those of the others."""

    promise: str
    share: float
    try_it: TryIt


SCENARIOS = {
    ScenarioName.DISK: Scenario(disk.PROMISE, 1, disk.try_it),
    ScenarioName.KILL: Scenario(kill.PROMISE, 10, kill.try_it),
    ScenarioName.LOCK_STORM: Scenario(lock_storm.PROMISE, 7, lock_storm.try_it),
    ScenarioName.DISK_FULL: Scenario(disk_full.PROMISE, 5, disk_full.try_it),
    ScenarioName.ZOMBIE: Scenario(zombie.PROMISE, 7, zombie.try_it),
}
