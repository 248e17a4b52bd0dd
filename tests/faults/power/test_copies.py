"""A copy that was acknowledged is on disk, whole, whenever the power goes after that."""

import random

import pytest

from tests.faults.power.examination import DATABASE, Examination, Findings
from tests.faults.power.runs import Recorder, cuts
from tests.faults.power.writers import back_up
from tests.faults.tally import Extent, Tally


def _findings(
    recorder: Recorder, examination: Examination, chance: random.Random, count: int, *, is_synced: bool
) -> Findings:
    folder = recorder.folder()
    run = recorder.record(folder, (back_up, folder / DATABASE, is_synced))
    findings = Findings()
    for cut in cuts(run, count, chance):
        findings.add(cut, examination.copies(cut))
    return findings


@pytest.mark.timeout(1800)
def test_a_copy_that_was_acknowledged_is_whole_after_a_power_cut(
    recorder: Recorder, examination: Examination, chance: random.Random, extent: Extent, tally: Tally
) -> None:
    findings = _findings(recorder, examination, chance, extent(60, 2_000), is_synced=True)
    tally("power cut, backup and snapshot", f"{findings.cuts:,} states", str(findings))
    assert not findings.damage, findings.damage


def test_control_copies_that_are_not_synced_get_lost(
    recorder: Recorder, examination: Examination, chance: random.Random
) -> None:
    assert _findings(recorder, examination, chance, 60, is_synced=False).damage.lost
