"""What is looked at after a power cut: by SQLite alone, and for a part by the store, which then writes on."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sessionstore import SessionManagerError
from tests.concurrency import manager_on
from tests.faults.power.disk import put
from tests.faults.power.runs import Cut
from tests.faults.steps import Damage, Found, Step, complaints_of, damage, find, take

DATABASE = "sessions.db"


@dataclass
class Findings:
    """So many power cuts, the writes that had been acknowledged before them, and what was wrong afterwards."""

    cuts: int = 0
    acknowledged: int = 0
    damage: Damage = field(default_factory=Damage)

    def add(self, cut: Cut, found: Damage) -> None:
        self.cuts += 1
        self.acknowledged += sum(cut.told.steps.values())
        self.damage.add(found)

    def __str__(self) -> str:
        damage = self.damage
        return (
            f"of {self.acknowledged:,} acknowledged writes: {len(damage.lost)} sessions lost some, "
            f"{len(damage.torn)} torn, {len(damage.foreign)} foreign; {len(damage.complaints)} files damaged"
        )


class Examination:
    """Looks at one cut after the other, in a folder that is made anew for each."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance

    def by_sqlite(self, cut: Cut) -> Damage:
        with self._put(cut) as folder:
            return damage(find(folder / DATABASE), cut.told.steps)

    def of_last_writes(self, cut: Cut) -> Damage:
        """May be lost are the last writes of each writer only; then nothing is that came after a lost one."""
        with self._put(cut) as folder:
            found = find(folder / DATABASE)
        result = damage(found, cut.told.steps)
        result.lost = _lost_before_kept(found, cut.told.history)
        return result

    def by_store(self, cut: Cut) -> Damage:
        """Opened by the store: it finds nothing wrong, has every session whole, and writes on.

        What failed in doubt is repeated, and is there then.
        """
        with self._put(cut) as folder:
            database = folder / DATABASE
            repeated = cut.told.in_doubt | {"afterwards": Step.GONE}
            try:
                with manager_on(database) as manager:
                    complaints = complaints_of(manager, find(database))
                    for session_id, step in cut.told.in_doubt.items():
                        take(manager, session_id, step)
                    for step in list(Step)[1:]:
                        take(manager, "afterwards", step)
            except SessionManagerError as error:
                return Damage(complaints=[f"{type(error).__name__}: {error}"])
            result = damage(find(database), cut.told.steps | repeated)
            result.complaints += complaints
            return result

    def copies(self, cut: Cut) -> Damage:
        """Each copy that was acknowledged is there with all it held; one that was not is whole or not there."""
        result = Damage()
        with self._put(cut) as folder:
            for name in cut.told.copies.keys() | {path.name for path in folder.glob("[a-z]*-*.db")}:
                # One that was being made began after all that had been told.
                told = cut.told.copies.get(name, cut.told.steps)
                if (folder / name).exists():
                    result.add(damage(find(folder / name), told))
                else:
                    result.lost.append(name)
        return result

    @contextmanager
    def _put(self, cut: Cut) -> Iterator[Path]:
        self._folder.mkdir()
        put(cut.files, self._folder)
        yield self._folder
        shutil.rmtree(self._folder)


def _lost_before_kept(found: Found, history: list[tuple[str, Step]]) -> list[str]:
    lost: list[str] = []
    last_lost: dict[str, str] = {}
    for session_id, step in history:
        writer = session_id.partition("-")[0]
        if found.step(session_id) < step:
            last_lost.setdefault(writer, session_id)
        elif writer in last_lost:
            lost.append(last_lost[writer])
    return lost
