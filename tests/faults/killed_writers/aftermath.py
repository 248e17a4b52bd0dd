"""What is looked at after a kill: the store opens again, has all that was acknowledged, whole, and writes on."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.concurrency import manager_on
from tests.faults.steps import Damage, Step, complaints_of, damage, find, steps_told, take

# The promise is a second; more than this is a store that does not open, however busy the machine.
OPENING_SECONDS = 10.0

_numbers = count(1)


@dataclass
class Aftermath:
    """Sums up what was found after so many kills."""

    kills: int = 0
    acknowledged: int = 0
    slowest_opening: float = 0.0
    damage: Damage = field(default_factory=Damage)

    def examine(self, database: Path, reports: Iterable[str], past: dict[str, Step]) -> dict[str, Step]:
        """After the kill of whoever gave these reports; how far all sessions are now."""
        told = past | steps_told(reports)
        self.acknowledged += sum(told.values()) - sum(past.values())
        before = time.monotonic()
        manager = manager_on(database)
        self.slowest_opening = max(self.slowest_opening, time.monotonic() - before)
        with manager:
            found = find(database)
            self.damage.add(damage(found, told))
            self.damage.complaints += complaints_of(manager, found)
            # It writes at once, whatever lock the dead process held.
            after = f"after{next(_numbers)}-1"
            for step in list(Step)[1:]:
                take(manager, after, step)
        assert find(database).steps == found.steps | {after: Step.GONE}
        return found.steps | {after: Step.GONE}

    def __str__(self) -> str:
        return (
            f"of {self.acknowledged:,} acknowledged writes: {len(self.damage.lost)} sessions lost some, "
            f"{len(self.damage.torn)} torn, {len(self.damage.foreign)} foreign; {len(self.damage.complaints)} files "
            f"damaged; opened within {self.slowest_opening:.2f} s"
        )
