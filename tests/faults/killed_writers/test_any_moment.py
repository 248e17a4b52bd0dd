"""One or two processes that write are killed at any moment, also while they make or migrate the store."""

import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest

from tests.faults.injection.zygote import Child, Zygote
from tests.faults.killed_writers.aftermath import OPENING_SECONDS, Aftermath
from tests.faults.killed_writers.writers import write
from tests.faults.old_stores import make_old_store
from tests.faults.steps import Step
from tests.faults.tally import Extent, Tally

# A store is made in some 100 ms and opened in 20: half of the writers die at about that time, the others later.
SHORT_LIFE_SECONDS = 0.15
REPORTS = 20, 200
# A write takes about one: so that the kill does not always come right behind an acknowledgement.
LONGEST_PAUSE_SECONDS = 0.002


class Victims:
    """Kills writers on one store after the other; some begin with nothing, some with what the last ones left."""

    def __init__(self, zygote: Zygote, folder: Path, chance: random.Random) -> None:
        self._zygote = zygote
        self._folder = folder
        self._chance = chance
        self._stores = 0
        self._kills = 0
        self._is_early = False
        self._database = folder
        self._told: dict[str, Step] = {}

    def kill(self, processes: int, aftermath: Aftermath, *, are_hasty: bool = False) -> None:
        if self._stores == 0 or self._chance.random() < 0.4:
            self._begin_anew()
        names = [f"k{self._kills + number}t" for number in range(processes)]
        self._kills += processes
        aftermath.kills += processes
        reports = self._reports_of(names, are_hasty=are_hasty)
        self._told = aftermath.examine(self._database, reports, self._told)

    def _begin_anew(self) -> None:
        self._stores += 1
        folder = self._folder / f"{self._stores}"
        folder.mkdir()
        self._database = folder / "sessions.db"
        self._told = {}
        if self._chance.random() < 0.5:
            self._told = make_old_store(self._database, self._chance.choice(("0001", "0003", "0004")), sessions=5)

    def _reports_of(self, names: Sequence[str], *, are_hasty: bool) -> list[str]:
        """What writers of those names say until all of them are killed, at one moment."""
        with ExitStack() as stack:
            children = [
                stack.enter_context(self._zygote.start(write, self._database, name, are_hasty)) for name in names
            ]

            reports = self._reports_before_the_kill(children[0])
            for child in children:
                child.kill()
            reports += [report for child in children for report in child.wait()]
            assert [child.status for child in children] == [-signal.SIGKILL] * len(children)
        return reports

    def _reports_before_the_kill(self, child: Child) -> list[str]:
        self._is_early = not self._is_early
        if self._is_early:
            time.sleep(self._chance.uniform(0, SHORT_LIFE_SECONDS))
            return []
        reports = list(islice(child.reports(), self._chance.randrange(*REPORTS)))
        time.sleep(self._chance.uniform(0, LONGEST_PAUSE_SECONDS))
        return reports


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_acknowledged_before_kill_9_is_there_and_whole(
    zygote: Zygote, quick_folder: Path, chance: random.Random, extent: Extent, tally: Tally, processes: int
) -> None:
    victims, aftermath = Victims(zygote, quick_folder, chance), Aftermath()
    while aftermath.kills < extent(10, 500):
        victims.kill(processes, aftermath)
    tally(f"kill -9 at any moment, {processes} writing", f"{aftermath.kills:,} kills", str(aftermath))
    assert not aftermath.damage, aftermath.damage
    assert aftermath.slowest_opening < OPENING_SECONDS
    # They did get to write, and not a little.
    assert aftermath.acknowledged > aftermath.kills


def test_control_acknowledgements_before_the_commit_are_found_as_lost(
    zygote: Zygote, quick_folder: Path, chance: random.Random
) -> None:
    victims, aftermath = Victims(zygote, quick_folder, chance), Aftermath()
    for _ in range(10):
        victims.kill(1, aftermath, are_hasty=True)
    assert aftermath.damage.lost
