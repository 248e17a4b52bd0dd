"""Recorded runs, and the power cuts in them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.injection.shim import Change, Control, Record
from tests.faults.injection.zygote import Zygote
from tests.faults.power.disk import Disk, Folder
from tests.faults.steps import Step

# Sparse: some 20 kB are used for each write of the store.
LOG_BYTES = 1 << 28

# A function for a child, and its arguments after the first, which is `say`.
Order = tuple[Callable[..., None], *tuple[object, ...]]


@dataclass
class Run:
    """What a folder held before, and all that happened to it then."""

    before: Folder
    records: list[Record]
    past: dict[str, Step] = field(default_factory=dict)


@dataclass
class Told:
    """What the writers had been told by some moment: in which order, what failed in doubt, and which copies are made.

    A copy holds what was told when it returned, for nobody wrote beside it.
    """

    steps: dict[str, Step]
    history: list[tuple[str, Step]] = field(default_factory=list)
    in_doubt: dict[str, Step] = field(default_factory=dict)
    copies: dict[str, dict[str, Step]] = field(default_factory=dict)

    def hear(self, mark: str) -> None:
        match mark.split():
            case ["copied", name]:
                self.copies[name] = dict(self.steps)
            case [session_id, step]:
                self.steps[session_id] = Step(int(step))
                self.history.append((session_id, Step(int(step))))
            case [session_id, step, "?"]:
                self.in_doubt[session_id] = Step(int(step))
            case _:
                raise ValueError(mark)


@dataclass
class Cut:
    """The files that are found after the power went, and what had been told before."""

    files: dict[str, bytes]
    told: Told


class Recorder:
    """Runs children on folders of its own, recorded."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self._zygote = zygote
        self._folder = folder
        self._runs = 0

    def folder(self) -> Path:
        """A new one, for the next run."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        folder.mkdir()
        return folder

    def record(
        self,
        folder: Path,
        *orders: Order,
        past: dict[str, Step] | None = None,
        fault: Callable[[Control], object] = lambda control: None,
    ) -> Run:
        """Runs each order, a function with its arguments, in a child, all at once; `fault` arms what befalls them."""
        before = Folder.of(folder)
        control = Control(folder.with_suffix(".control"), folder, log_bytes=LOG_BYTES)
        fault(control)
        children = [self._zygote.start(*order, control=control) for order in orders]
        for child in children:
            with child:
                child.wait()
                assert child.status == 0
        records = list(control.records())
        control.path.unlink()
        return Run(before, records, past or {})


def cuts(run: Run, count: int, chance: random.Random) -> Iterator[Cut]:
    """So many, at moments drawn by chance."""
    disk, told, done = Disk(run.before, chance), Told(dict(run.past)), 0
    for moment in sorted(chance.choices(range(len(run.records) + 1), k=count)):
        for record in run.records[done:moment]:
            disk.apply(record)
            if record.change is Change.MARK:
                told.hear(record.data.decode())
        done = moment
        yield Cut(disk.cut_power(), told)
