"""Each call of each deed is refused by the system: as on a full disk, and as on one that fails.

What is promised: a typed error or success, never a hang; what was acknowledged is there, whole, before and after, also
after a kill -9; what was refused is there as a whole or not at all; reads go on; the same manager works again without
being opened again; nothing is ever removed or renamed but by SQLite's own closing.
"""

import random
from collections.abc import Callable, Iterator
from errno import EIO, EMFILE, ENOSPC
from pathlib import Path

import pytest

from tests.faults.disk.child import Fault
from tests.faults.disk.deeds import OPENINGS, READS, UPKEEP, WRITES, Deed
from tests.faults.disk.sweep import GROWING, Configuration, Found, Sweep
from tests.faults.injection.shim import Kind
from tests.faults.injection.zygote import Zygote
from tests.faults.tally import Tally

# The long run takes an hour of processor time, in eight tests.
pytestmark = pytest.mark.timeout(3600)

GROUPS = {"writes": WRITES, "upkeep and copies": UPKEEP, "reads": READS, "opening": OPENINGS}
SHORT = [Configuration()]
LONG = [Configuration(), Configuration("normal"), Configuration(is_accompanied=True)]
# So many of the calls of a deed, by chance, where not all of them are tried.
FAULTS_OF_A_DEED = 6

Sweeps = Callable[[dict[str, Deed], Found], Iterator[Sweep]]


@pytest.fixture
def sweeps(zygote: Zygote, templates: dict[str, Path], quick_folder: Path, is_long: bool) -> Sweeps:
    def each(deeds: dict[str, Deed], found: Found) -> Iterator[Sweep]:
        for configuration in LONG if is_long else SHORT:
            for deed in deeds:
                folder = quick_folder / f"{deed} {configuration}"
                yield Sweep(zygote, folder, templates.get(deed, templates[""]), deed, configuration, found)

    return each


def some_of(faults: Iterator[Fault], chance: random.Random, is_long: bool) -> list[Fault]:
    found = list(faults)
    return found if is_long else chance.sample(found, min(FAULTS_OF_A_DEED, len(found)))


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "reads"])
def test_a_disk_that_is_full_from_any_call_on_costs_nothing_that_was_acknowledged(
    sweeps: Sweeps, group: str, chance: random.Random, is_long: bool, tally: Tally
) -> None:
    found = Found()
    for sweep in sweeps(GROUPS[group], found):
        for fault in some_of(sweep.full_disks(), chance, is_long):
            sweep.run(fault)
    tally(f"disk full from a call on: {group}", f"{found.faults} calls", str(found))
    assert found.wrong == []


@pytest.mark.parametrize("group", GROUPS)
def test_any_call_that_fails_costs_nothing_that_was_acknowledged(
    sweeps: Sweeps, group: str, chance: random.Random, is_long: bool, tally: Tally
) -> None:
    found = Found()
    for sweep in sweeps(GROUPS[group], found):
        for fault in some_of(sweep.failing_calls(), chance, is_long):
            sweep.run(fault)
    tally(f"a call that fails: {group}", f"{found.faults} calls", str(found))
    assert found.wrong == []


def test_a_read_that_fails_once_looks_like_damage_and_nothing_is_removed_for_that(
    zygote: Zygote, templates: dict[str, Path], quick_folder: Path
) -> None:
    found = Found()
    sweep = Sweep(zygote, quick_folder / "get", templates[""], "get", Configuration(), found)
    reports = [sweep.run(Fault((Kind.READ,), first, EIO)) for first in range(1, 13)]
    assert any("something malformed" in report.error for report in reports)
    assert found.wrong == []


def test_a_file_that_could_once_be_opened_for_reading_only_is_opened_again(
    zygote: Zygote, templates: dict[str, Path], quick_folder: Path
) -> None:
    """Where a process has no descriptor left at one moment, SQLite makes do with a file it cannot write."""
    found = Found()
    sweep = Sweep(zygote, quick_folder / "open", templates[""], "open", Configuration(), found)
    for first in range(1, 17):
        sweep.run(Fault((Kind.OPEN,), first, EMFILE))
    assert found.wrong == []


@pytest.mark.parametrize(
    ("flaw", "deed", "fault", "finding"),
    [
        ("acknowledges commits that failed", "scene", Fault(GROWING, 1, ENOSPC, for_good=True), "acknowledged is not"),
        ("acknowledges commits that failed", "eight threads", Fault(GROWING, 3, EIO, for_good=True), "scenes are not"),
        ("stays broken", "create", Fault(GROWING, 1, ENOSPC, for_good=True), "the manager afterwards"),
        ("lets errors of the driver out", "create", Fault(GROWING, 1, ENOSPC, for_good=True), "raised Operational"),
        ("removes what cannot be read", "get", Fault((Kind.READ,), 1, EIO), "the WAL was removed in use"),
    ],
)
def test_control_a_store_that_breaks_a_promise_is_found(
    zygote: Zygote, templates: dict[str, Path], quick_folder: Path, flaw: str, deed: str, fault: Fault, finding: str
) -> None:
    for used, expected in (("", False), (flaw, True)):
        found = Found()
        sweep = Sweep(zygote, quick_folder / f"{deed}{used}", templates[""], deed, Configuration(), found)
        report = sweep.run(fault, used)
        assert report.acted
        assert any(finding in wrong for wrong in found.wrong) is expected, found.wrong
