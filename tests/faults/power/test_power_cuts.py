"""The power goes at any moment: what was acknowledged is there; at `durability="normal"` all but the last of it is."""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.faults.old_stores import make_old_store
from tests.faults.power.examination import DATABASE, Examination, Findings
from tests.faults.power.runs import Cut, Recorder, Run, cuts
from tests.faults.power.writers import write
from tests.faults.steps import Damage
from tests.faults.tally import Extent, Tally

# One in so many is opened by the store too, which takes ten times as long as by SQLite alone.
STORE_EVERY = 10
CUTS_IN_A_RUN = 100


def _written_by(writers: int, durability: str) -> Callable[[Recorder, random.Random], Run]:
    """So many processes that write, close and open again."""

    def record(recorder: Recorder, chance: random.Random) -> Run:
        folder = recorder.folder()
        orders = [
            (write, folder / DATABASE, f"w{number}", chance.getrandbits(32), 3, durability)
            for number in range(1, writers + 1)
        ]
        return recorder.record(folder, *orders)

    return record


def _migrated(recorder: Recorder, chance: random.Random) -> Run:
    """Two processes that open an older store at the same time, one of which migrates it, and then write a little."""
    folder = recorder.folder()
    past = make_old_store(folder / DATABASE, chance.choice(("0001", "0002", "0003", "0004")), sessions=20)
    orders = [(write, folder / DATABASE, f"w{n}", chance.getrandbits(32), 1, "full") for n in (1, 2)]
    return recorder.record(folder, *orders, past=past)


def _runs(
    record: Callable[[Recorder, random.Random], Run], recorder: Recorder, count: int, chance: random.Random
) -> Iterator[Cut]:
    while count > 0:
        yield from cuts(record(recorder, chance), min(count, CUTS_IN_A_RUN), chance)
        count -= CUTS_IN_A_RUN


def _examine(states: Iterator[Cut], look: Callable[[Cut], Damage], examination: Examination) -> Findings:
    findings = Findings()
    for number, cut in enumerate(states):
        findings.add(cut, examination.by_store(cut) if number % STORE_EVERY == STORE_EVERY - 1 else look(cut))
    return findings


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("writers", [1, 2])
def test_what_was_acknowledged_is_there_after_a_power_cut(
    recorder: Recorder,
    examination: Examination,
    chance: random.Random,
    extent: Extent,
    tally: Tally,
    writers: int,
) -> None:
    states = _runs(_written_by(writers, "full"), recorder, extent(100, 2_000), chance)
    findings = _examine(states, examination.by_sqlite, examination)
    tally(f"power cut, full, {writers} writing", f"{findings.cuts:,} states", str(findings))
    assert not findings.damage, findings.damage


@pytest.mark.timeout(1800)
def test_a_store_is_migrated_as_a_whole_or_not_at_all_when_the_power_goes(
    recorder: Recorder, examination: Examination, chance: random.Random, extent: Extent, tally: Tally
) -> None:
    findings = Findings()
    for cut in _runs(_migrated, recorder, extent(100, 1_000), chance):
        findings.add(cut, examination.by_store(cut))
    tally("power cut, full, 2 migrating", f"{findings.cuts:,} states", str(findings))
    assert not findings.damage, findings.damage


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("writers", [1, 2])
def test_at_normal_a_power_cut_loses_the_last_writes_and_corrupts_nothing(
    recorder: Recorder, examination: Examination, chance: random.Random, extent: Extent, tally: Tally, writers: int
) -> None:
    findings, losing = Findings(), 0
    for cut in _runs(_written_by(writers, "normal"), recorder, extent(75, 2_500), chance):
        findings.add(cut, examination.of_last_writes(cut))
        losing += bool(examination.by_sqlite(cut).lost)
    tally(f"power cut, normal, {writers} writing", f"{findings.cuts:,} states", f"{findings}; {losing:,} lost a suffix")
    assert not findings.damage, findings.damage
    # It is what the name says, and what `full` is for.
    assert losing > 0


def test_control_without_syncs_a_power_cut_loses_what_was_acknowledged(
    recorder: Recorder, examination: Examination, chance: random.Random
) -> None:
    findings = Findings()
    for cut in _runs(_written_by(1, "off"), recorder, 50, chance):
        findings.add(cut, examination.by_sqlite(cut))
    assert findings.damage.lost
    assert findings.damage.complaints, "nothing was corrupted either"
