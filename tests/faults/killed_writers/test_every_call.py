"""A writer is killed before and after every single call that it makes on the files of the store."""

import random
import shutil
import signal
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.concurrency import manager_on
from tests.faults.injection.shim import Action, Control, Kind
from tests.faults.injection.zygote import Zygote
from tests.faults.killed_writers.aftermath import OPENING_SECONDS, Aftermath
from tests.faults.killed_writers.writers import CLOSED, live
from tests.faults.old_stores import make_old_store
from tests.faults.steps import Step, damage, find, take
from tests.faults.tally import Tally

Prepare = Callable[[Path], dict[str, Step]]


def _nothing(database: Path) -> dict[str, Step]:
    return {}


def _old(revision: str) -> Prepare:
    return lambda database: make_old_store(database, revision, sessions=3)


def _closed(database: Path) -> dict[str, Step]:
    with manager_on(database) as manager:
        take(manager, "old-1", Step.CREATED)
    return {"old-1": Step.CREATED}


class Lives:
    """Lives that begin with the same folder, each with one call that is its last."""

    def __init__(self, zygote: Zygote, folder: Path, prepare: Prepare) -> None:
        self._zygote = zygote
        self._template = folder / "template"
        self._template.mkdir()
        self._folder = folder / "life"
        self._control = Control(folder / "control", self._folder)
        self.past = prepare(self._template / "sessions.db")

    def count_calls(self) -> int:
        """How many calls a life makes that nothing ends."""
        rule = self._control.arm(Action.COUNT, set(Kind))
        status, reports = self._live()
        assert (status, reports[-1]) == (0, CLOSED)
        return rule.seen

    def end_at(
        self,
        action: Action,
        call: int,
        aftermath: Aftermath,
        *,
        kinds: Collection[Kind] = tuple(Kind),
        suffix: str = "",
    ) -> None:
        """The last call is the so-and-so-many-th of these kinds, on a file whose path ends with `suffix`."""
        rule = self._control.arm(action, kinds, first=call, suffix=suffix)
        status, reports = self._live()
        # Not every life makes the very same number of calls: some look at a lock once more.
        assert status == (-signal.SIGKILL if rule.done else 0)
        aftermath.kills += rule.done
        rule.disarm()
        aftermath.examine(self._folder / "sessions.db", reports, self.past)
        self._examine_backup(f"copied {self._backup.name}" in reports, aftermath)

    @property
    def _backup(self) -> Path:
        return self._folder / "backup.db"

    def _examine_backup(self, is_acknowledged: bool, aftermath: Aftermath) -> None:
        """It is whole, or it is not there and nobody was told so."""
        if self._backup.exists():
            steps = {"1-1": Step.GONE, "1-2": Step.THREE_SCENES}
            aftermath.damage.add(damage(find(self._backup), self.past | steps))
        elif is_acknowledged:
            aftermath.damage.lost.append(self._backup.name)

    def _live(self) -> tuple[int | None, list[str]]:
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._template, self._folder)
        with self._zygote.start(live, self._folder / "sessions.db", self._backup, control=self._control) as child:
            reports = child.wait()
            return child.status, reports


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("beginning", "prepare"),
    [
        ("nothing", _nothing),
        ("revision 0001", _old("0001")),
        ("revision 0004", _old("0004")),
        ("a closed store", _closed),
    ],
)
def test_whichever_call_was_the_last_everything_acknowledged_is_there_and_whole(
    zygote: Zygote,
    quick_folder: Path,
    chance: random.Random,
    is_long: bool,
    tally: Tally,
    beginning: str,
    prepare: Prepare,
) -> None:
    lives, aftermath = Lives(zygote, quick_folder, prepare), Aftermath()
    calls = lives.count_calls()
    ends = [(action, call) for action in (Action.KILL_BEFORE, Action.KILL_AFTER) for call in range(1, calls + 1)]
    chosen = ends if is_long else chance.sample(ends, 5)
    for action, call in chosen:
        lives.end_at(action, call, aftermath)
    tally(f"kill -9 at a call, from {beginning}", f"{aftermath.kills:,} of {len(ends):,}", str(aftermath))
    assert not aftermath.damage, aftermath.damage
    assert aftermath.slowest_opening < OPENING_SECONDS
    assert aftermath.kills > 0.9 * len(chosen) - 1


def test_a_store_whose_maker_died_with_a_rollback_journal_opens(zygote: Zygote, quick_folder: Path) -> None:
    # The switch to write-ahead logging is itself a transaction of the old kind: its journal is then rolled back.
    lives, aftermath = Lives(zygote, quick_folder, _nothing), Aftermath()
    lives.end_at(Action.KILL_AFTER, 1, aftermath, kinds={Kind.WRITE}, suffix="/sessions.db")
    assert aftermath.kills == 1
    assert not aftermath.damage, aftermath.damage
