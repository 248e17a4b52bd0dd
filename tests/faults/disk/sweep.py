"""Has each call of a deed fail, one after the other, each in a child of its own."""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.disk.child import Fault, Rehearsal, Report, accompany, attempt, count_calls, open_again, rehearse
from tests.faults.injection.shim import Action, Control, Kind
from tests.faults.injection.zygote import Zygote

# What a full disk refuses. Not opening: a file that is there can be opened on it.
GROWING = (Kind.WRITE, Kind.SYNC, Kind.TRUNCATE, Kind.LINK, Kind.MKDIR)
# Taking away is looked at by itself: what could not be taken away stays. To give a lock back no local disk refuses;
# SQLite does not look whether one did.
ANYTHING = tuple(kind for kind in Kind if kind not in {Kind.UNLINK, Kind.UNLOCK})
OPENING = (Kind.OPEN, Kind.MAP)


@dataclass(frozen=True)
class Configuration:
    """How the store is used that the faults hit."""

    durability: str = "full"
    is_accompanied: bool = False

    def __str__(self) -> str:
        return f"{2 if self.is_accompanied else 1} process, {self.durability}"


@dataclass
class Found:
    """What came of a number of faults."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.outcomes.total()

    def __str__(self) -> str:
        return f"{self.outcomes['refused']} refused, {self.outcomes['done']} done all the same, {len(self.wrong)} wrong"


class Sweep:
    """Faults in one deed. Each trial begins with a copy of the same folder, at the same place."""

    def __init__(
        self, zygote: Zygote, folder: Path, template: Path, deed: str, configuration: Configuration, found: Found
    ) -> None:
        """`folder` must not be there yet."""
        self._zygote, self._folder, self._template = zygote, folder, template
        self._deed, self._configuration, self._found = deed, configuration, found
        self._durability = configuration.durability
        self._control_path = folder.with_name(f"{folder.name}.control")
        self._go = folder.with_name(f"{folder.name}.go")
        self._renew()
        self._control = Control(self._control_path, folder)
        with self._company():
            self._rehearsal = Rehearsal(**json.loads(self._ask(rehearse, deed, self._durability)))

    def full_disks(self) -> Iterator[Fault]:
        """The disk is full from each call on that needs room, or a quota is used up."""
        (calls,) = self._count(GROWING)
        for first in range(1, calls + 1):
            for error in (errno.ENOSPC, errno.EDQUOT):
                yield Fault(GROWING, first, error, for_good=True)

    def failing_calls(self) -> Iterator[Fault]:
        """Each call fails once, by each error that it may fail by; each write is cut short."""
        calls, openings, writes, removals = self._count(ANYTHING, OPENING, [Kind.WRITE], [Kind.UNLINK])
        for first in range(1, calls + 1):
            for error in (errno.EIO, errno.ENOMEM):
                yield Fault(ANYTHING, first, error)
        for first in range(1, openings + 1):
            for error in (errno.EMFILE, errno.ENOSPC):
                yield Fault(OPENING, first, error)
        for first in range(1, writes + 1):
            yield Fault((Kind.WRITE,), first, action=Action.SHORTEN)
        for first in range(1, removals + 1):
            yield Fault((Kind.UNLINK,), first, errno.EIO)

    def run(self, fault: Fault, flaw: str = "") -> Report:
        """One trial; it ends by a close or by kill -9, in turn."""
        ending = "kill" if self._found.faults % 2 else "close"
        plan = asdict(self._rehearsal), asdict(fault), ending, flaw
        with self._company() as complaints:
            report = Report(**json.loads(self._ask(attempt, self._control_path, self._deed, self._durability, *plan)))
            if ending == "kill":
                found = self._ask(open_again, self._durability)
                if found != (report.state or found):
                    report.findings.append(f"after kill -9: {found}")
        report.findings += complaints
        self._found.outcomes[report.outcome] += 1
        self._found.wrong += [
            f"{self._deed}, {self._configuration}, {fault}: {finding} ({report.error})" for finding in report.findings
        ]
        return report

    def _count(self, *kinds: Sequence[int]) -> list[int]:
        """How many calls of each of these sets of kinds the deed takes."""
        with self._company():
            answer = self._ask(
                count_calls, self._control_path, self._deed, self._durability, [list(each) for each in kinds]
            )
        counts: list[int] = json.loads(answer)
        return counts

    def _renew(self) -> None:
        self._go.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._template, self._folder)

    @contextmanager
    def _company(self) -> Iterator[list[str]]:
        """Around what is done to the store as it was in the beginning, beside another process if there is to be one."""
        self._renew()
        complaints: list[str] = []
        if not self._configuration.is_accompanied:
            yield complaints
            return
        with self._zygote.start(accompany, self._folder, self._durability, self._go) as companion:
            assert next(companion.reports()) == "open"
            yield complaints
            self._go.touch()
            complaints += [f"the other process: {said or 'died'}" for said in companion.wait() or [""] if said != "ok"]

    def _ask(self, function: Callable[..., None], *arguments: object) -> str:
        with self._zygote.start(function, self._folder, *arguments) as child:
            answers = child.wait()
        assert len(answers) == 1, f"{function.__name__} of {self._deed} ended with {child.status}"
        return answers[0]
