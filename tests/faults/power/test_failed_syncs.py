"""Syncs fail now and then, and what they should have written is gone; then the power goes.

A write that was acknowledged is there. One that failed in doubt is there or not; it is repeated, and is there then.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.injection.shim import FOREVER, Action, Control, Kind
from tests.faults.injection.zygote import Zygote
from tests.faults.power.examination import DATABASE, Examination, Findings
from tests.faults.power.runs import Cut, Recorder, cuts
from tests.faults.power.writers import die_and_be_followed, open_and_write, write
from tests.faults.tally import Extent, Tally

EVERY = 30
CUTS_IN_A_RUN = 60


def _runs_with_bad_syncs(recorder: Recorder, chance: random.Random, action: Action, count: int) -> Iterator[Cut]:
    """Power cuts in runs in which every 30th sync fails, or lies."""

    def fault(control: Control) -> None:
        control.arm(action, {Kind.SYNC}, first=chance.randrange(1, EVERY), every=EVERY, last=FOREVER)

    while count > 0:
        folder = recorder.folder()
        orders = [(write, folder / DATABASE, f"w{n}", chance.getrandbits(32), 3, "full") for n in (1, 2)]
        yield from cuts(recorder.record(folder, *orders, fault=fault), min(count, CUTS_IN_A_RUN), chance)
        count -= CUTS_IN_A_RUN


@pytest.mark.timeout(1800)
def test_after_failed_syncs_and_a_power_cut_what_was_acknowledged_is_there_and_the_rest_can_be_repeated(
    recorder: Recorder, examination: Examination, chance: random.Random, extent: Extent, tally: Tally
) -> None:
    findings, in_doubt = Findings(), 0
    for cut in _runs_with_bad_syncs(recorder, chance, Action.FAIL, extent(60, 2_000)):
        findings.add(cut, examination.by_store(cut))
        in_doubt = max(in_doubt, len(cut.told.in_doubt))
    tally("failed fsync, then a power cut", f"{findings.cuts:,} states", str(findings))
    assert not findings.damage, findings.damage
    assert in_doubt > 0, "no write was in doubt, so nothing was shown"


@pytest.mark.timeout(1800)
def test_what_a_dead_process_left_in_doubt_takes_nothing_with_it_that_is_written_after_it(
    recorder: Recorder, examination: Examination, chance: random.Random, extent: Extent, tally: Tally
) -> None:
    findings = _findings_behind_the_dead(recorder, examination, chance, extent(5, 50), is_made_sure_of=True)
    tally("failed fsync, death, power cut", f"{findings.cuts:,} states", str(findings))
    assert not findings.damage, findings.damage


def test_control_a_wal_that_is_not_made_sure_of_loses_what_is_written_behind_it(
    recorder: Recorder, examination: Examination, chance: random.Random
) -> None:
    assert _findings_behind_the_dead(recorder, examination, chance, 5, is_made_sure_of=False).damage.lost


def _findings_behind_the_dead(
    recorder: Recorder, examination: Examination, chance: random.Random, runs: int, *, is_made_sure_of: bool
) -> Findings:
    """A commit fails and its process dies; the next one reads from memory, as if it were there, what is not on disk."""

    def fault(control: Control) -> None:
        control.arm(Action.FAIL, {Kind.SYNC}, first=chance.randrange(3, 9), suffix="-wal")

    findings = Findings()
    for _ in range(runs):
        folder = recorder.folder()
        order = (die_and_be_followed, folder / DATABASE, chance.getrandbits(32), is_made_sure_of)
        for cut in cuts(recorder.record(folder, order, fault=fault), 12, chance):
            findings.add(cut, examination.by_store(cut))
    return findings


def test_a_store_whose_names_cannot_be_put_on_disk_is_refused(
    zygote: Zygote, recorder: Recorder, quick_folder: Path
) -> None:
    folder = recorder.folder()
    control = Control(quick_folder / "control", folder)
    control.arm(Action.FAIL, {Kind.SYNC}, last=FOREVER, suffix=f"/{folder.name}")
    # Not only when it makes the file: a file that is there may be there in memory only.
    for _ in range(2):
        with zygote.start(open_and_write, folder / DATABASE, control=control) as child:
            assert child.wait() == ["DatabaseUnavailableError"]


def test_control_syncs_that_lie_lose_what_was_acknowledged(
    recorder: Recorder, examination: Examination, chance: random.Random
) -> None:
    findings = Findings()
    for cut in _runs_with_bad_syncs(recorder, chance, Action.LIE, 60):
        findings.add(cut, examination.by_sqlite(cut))
    assert findings.damage.lost
