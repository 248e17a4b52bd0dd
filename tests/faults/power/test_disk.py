"""The model of the disk: what is certain after a power cut, and what is left to chance."""

import random
from collections.abc import Callable

import pytest

from tests.faults.injection.shim import Change, Record
from tests.faults.power.disk import Disk, Folder

TRIES = 200
ONE, TWO = "/folder/one", "/folder/two"
ONES, TWOS = b"1" * 8192, b"2" * 8192

CREATED = Record(Change.CREATED, 1, 0, ONE, b"")
WRITTEN = Record(Change.WRITTEN, 1, 0, ONE, ONES)
WRITTEN_OVER = Record(Change.WRITTEN, 1, 0, ONE, TWOS)
SYNCED = Record(Change.SYNCED, 1, 0, ONE, b"")
SYNC_LOST = Record(Change.SYNC_LOST, 1, 0, ONE, b"")
FOLDER_SYNCED = Record(Change.SYNCED, 99, 0, "/folder", b"")
DURABLE = [CREATED, WRITTEN, SYNCED, FOLDER_SYNCED]

Outcomes = Callable[..., list[dict[str, bytes]]]


@pytest.fixture
def outcomes(chance: random.Random) -> Outcomes:
    """What many power cuts after these records leave."""

    def cut(*records: Record) -> list[dict[str, bytes]]:
        results = []
        for _ in range(TRIES):
            disk = Disk(Folder({}, {}), chance)
            for record in records:
                disk.apply(record)
            results.append(disk.cut_power())
        return results

    return cut


def test_what_was_synced_with_its_name_is_there(outcomes: Outcomes) -> None:
    assert all(files == {ONE: ONES} for files in outcomes(*DURABLE))


def test_without_a_sync_of_the_folder_the_whole_file_may_be_gone(outcomes: Outcomes) -> None:
    found = outcomes(CREATED, WRITTEN, SYNCED)
    assert {} in found
    assert {ONE: ONES} in found


def test_a_write_since_the_sync_is_there_or_not_or_in_part_by_sectors(outcomes: Outcomes) -> None:
    contents = {files[ONE] for files in outcomes(*DURABLE, WRITTEN_OVER)}
    assert {ONES, TWOS} < contents
    for content in contents:
        assert {len(set(content[at : at + 512])) for at in range(0, len(content), 512)} == {1}


def test_a_later_write_may_be_there_without_an_earlier_one(outcomes: Outcomes) -> None:
    later = Record(Change.WRITTEN, 1, 8192, ONE, TWOS)
    assert ONES + TWOS in {files[ONE] for files in outcomes(*DURABLE, WRITTEN_OVER, later)}


def test_a_file_may_have_grown_without_its_data(outcomes: Outcomes) -> None:
    grown = Record(Change.WRITTEN, 1, 8192, ONE, TWOS)
    assert any(len(files[ONE]) == 16384 and 0 in files[ONE] for files in outcomes(*DURABLE, grown))


def test_a_sync_after_one_that_failed_does_not_bring_the_data_back(outcomes: Outcomes) -> None:
    contents = {files[ONE] for files in outcomes(*DURABLE, WRITTEN_OVER, SYNC_LOST, SYNCED)}
    assert contents == {ONES, TWOS}
    written_again = outcomes(*DURABLE, WRITTEN_OVER, SYNC_LOST, WRITTEN_OVER, SYNCED)
    assert all(files == {ONE: TWOS} for files in written_again)


def test_a_new_name_and_the_removal_of_the_old_one_may_be_there_without_each_other(outcomes: Outcomes) -> None:
    linked, unlinked = Record(Change.LINKED, 1, 0, TWO, b""), Record(Change.UNLINKED, 0, 0, ONE, b"")
    names = {tuple(sorted(files)) for files in outcomes(*DURABLE, linked, unlinked)}
    assert names == {(), (ONE,), (TWO,), (ONE, TWO)}
    assert all(files == {TWO: ONES} for files in outcomes(*DURABLE, linked, unlinked, FOLDER_SYNCED))


def test_a_truncation_is_there_or_not_until_it_is_synced(outcomes: Outcomes) -> None:
    truncated = Record(Change.TRUNCATED, 1, 100, ONE, b"")
    assert {len(files[ONE]) for files in outcomes(*DURABLE, truncated)} == {100, 8192}
    assert all(files == {ONE: ONES[:100]} for files in outcomes(*DURABLE, truncated, SYNCED))
