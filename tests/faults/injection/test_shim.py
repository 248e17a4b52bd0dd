"""The library does what the control block says, to files under one folder, in all processes under it."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.concurrency import wait_until
from tests.faults.injection.shim import FOREVER, Action, Change, Control, Kind, mark
from tests.faults.injection.zygote import ROOT, Say, Zygote

LOG_BYTES = 1 << 20


@pytest.fixture
def folder(quick_folder: Path) -> Path:
    folder = quick_folder / "watched"
    folder.mkdir()
    return folder


@pytest.fixture
def control(quick_folder: Path, folder: Path) -> Control:
    return Control(quick_folder / "control", folder, log_bytes=LOG_BYTES)


def write_and_sync(say: Say, path: str, times: int) -> None:
    """Writes ten bytes so often, syncs after each, and says what it was told."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    for number in range(times):
        try:
            written = os.pwrite(descriptor, b"%010d" % number, number * 10)
            os.fsync(descriptor)
            say(f"{written}")
        except OSError as error:
            say(errno.errorcode[error.errno or 0])
    os.close(descriptor)


def spin(say: Say) -> None:
    """Goes on for ever, saying nothing."""
    while True:
        time.sleep(0.01)


def change_names(say: Say, folder: str) -> None:
    """Makes, links, renames and removes files, with a mark in between."""
    one, two, three = (os.path.join(folder, name) for name in ("one", "two", "three"))
    with open(one, "wb", buffering=0) as file:
        file.write(b"first")
        file.write(b"second")
        file.truncate(3)
    mark("told")
    os.link(one, two)
    os.unlink(one)
    os.rename(two, three)
    os.mkdir(os.path.join(folder, "inside"))
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)


def test_a_rule_counts_the_calls_of_its_kinds_and_changes_nothing(
    zygote: Zygote, control: Control, folder: Path
) -> None:
    syncs = control.arm(Action.COUNT, {Kind.SYNC})
    everything = control.arm(Action.COUNT, set(Kind), place=1)
    others = control.arm(Action.COUNT, set(Kind), suffix="-wal", place=2)
    with zygote.start(write_and_sync, folder / "file", 3, control=control) as child:
        assert child.wait() == ["10"] * 3
    assert (syncs.seen, syncs.done, others.seen) == (3, 0, 0)
    # It was opened, written and synced three times, and closed.
    assert everything.seen == 8


def test_the_chosen_calls_fail_with_the_chosen_error_and_no_others(
    zygote: Zygote, control: Control, folder: Path
) -> None:
    rule = control.arm(Action.FAIL, {Kind.WRITE}, first=2, every=2, last=FOREVER, error=errno.ENOSPC)
    with zygote.start(write_and_sync, folder / "file", 5, control=control) as child:
        assert child.wait() == ["10", "ENOSPC", "10", "ENOSPC", "10"]
    assert (rule.seen, rule.done) == (5, 2)
    assert (folder / "file").read_bytes() == b"0000000000" + bytes(10) + b"0000000002" + bytes(10) + b"0000000004"


def test_a_rule_acts_once_unless_told_otherwise_and_can_be_disarmed(
    zygote: Zygote, control: Control, folder: Path
) -> None:
    control.arm(Action.FAIL, {Kind.SYNC}, first=2)
    disarmed = control.arm(Action.FAIL, {Kind.WRITE}, last=FOREVER, place=1)
    disarmed.disarm()
    with zygote.start(write_and_sync, folder / "file", 4, control=control) as child:
        assert child.wait() == ["10", "EIO", "10", "10"]


def test_a_shortened_write_writes_half_and_says_so(zygote: Zygote, control: Control, folder: Path) -> None:
    control.arm(Action.SHORTEN, {Kind.WRITE})
    with zygote.start(write_and_sync, folder / "file", 1, control=control) as child:
        assert child.wait() == ["5"]
    assert (folder / "file").read_bytes() == b"00000"


@pytest.mark.parametrize(("action", "size"), [(Action.KILL_BEFORE, 10), (Action.KILL_AFTER, 20)])
def test_a_process_is_killed_right_before_or_right_after_a_call(
    zygote: Zygote, control: Control, folder: Path, action: Action, size: int
) -> None:
    control.arm(action, {Kind.WRITE}, first=2)
    with zygote.start(write_and_sync, folder / "file", 5, control=control) as child:
        assert child.wait() == ["10"]
        assert child.status == -signal.SIGKILL
    assert (folder / "file").stat().st_size == size


def test_a_delayed_call_waits_first(zygote: Zygote, control: Control, folder: Path) -> None:
    control.arm(Action.DELAY, {Kind.SYNC}, seconds=0.2)
    before = time.monotonic()
    with zygote.start(write_and_sync, folder / "file", 1, control=control) as child:
        assert child.wait() == ["10"]
    assert time.monotonic() - before >= 0.2


def test_calls_outside_the_folder_are_left_alone(zygote: Zygote, control: Control, quick_folder: Path) -> None:
    rule = control.arm(Action.FAIL, set(Kind), last=FOREVER)
    with zygote.start(write_and_sync, quick_folder / "watched-not", 1, control=control) as child:
        assert child.wait() == ["10"]
    assert rule.seen == 0
    assert list(control.records()) == []


def test_what_reaches_the_disk_is_recorded_in_its_order(zygote: Zygote, control: Control, folder: Path) -> None:
    with zygote.start(change_names, folder, control=control) as child:
        child.wait()
        assert child.status == 0
    records = list(control.records())
    assert [(each.change, Path(each.path).name, each.offset, each.data) for each in records] == [
        (Change.CREATED, "one", 0, b""),
        (Change.WRITTEN, "one", 0, b"first"),
        (Change.WRITTEN, "one", 5, b"second"),
        (Change.TRUNCATED, "one", 3, b""),
        (Change.MARK, "", 0, b"told"),
        (Change.LINKED, "two", 0, b""),
        (Change.UNLINKED, "one", 0, b""),
        (Change.RENAMED, "three", 0, os.fsencode(folder / "two")),
        (Change.FOLDER_MADE, "inside", 0, b""),
        (Change.SYNCED, "watched", 0, b""),
    ]
    assert {each.inode for each in records if each.path.endswith(("one", "two", "three"))} == {
        records[0].inode,
        0,
    }


@pytest.mark.parametrize(("action", "told"), [(Action.FAIL, "EIO"), (Action.LIE, "10")])
def test_a_sync_that_fails_or_lies_is_recorded_as_one_that_lost_its_data(
    zygote: Zygote, control: Control, folder: Path, action: Action, told: str
) -> None:
    control.arm(action, {Kind.SYNC})
    with zygote.start(write_and_sync, folder / "file", 2, control=control) as child:
        assert child.wait() == [told, "10"]
    syncs = [each.change for each in control.records() if each.change in {Change.SYNCED, Change.SYNC_LOST}]
    assert syncs == [Change.SYNC_LOST, Change.SYNCED]


def test_several_processes_count_together_and_are_recorded_in_one_order(
    zygote: Zygote, control: Control, folder: Path
) -> None:
    rule = control.arm(Action.COUNT, {Kind.WRITE})
    children = [zygote.start(write_and_sync, folder / f"{n}", 200, control=control) for n in range(3)]
    for child in children:
        with child:
            assert child.wait() == ["10"] * 200
    assert rule.seen == 600
    for n in range(3):
        data = b"".join(
            each.data for each in control.records() if each.change is Change.WRITTEN and each.path.endswith(f"/{n}")
        )
        assert data == (folder / f"{n}").read_bytes()


def test_a_process_killed_while_it_records_does_not_stop_the_others(
    zygote: Zygote, control: Control, folder: Path
) -> None:
    with (
        zygote.start(write_and_sync, folder / "killed", 1_000_000, control=control) as killed,
        zygote.start(write_and_sync, folder / "other", 1_000, control=control) as other,
    ):
        next(killed.reports())
        killed.kill()
        assert other.wait() == ["10"] * 1_000


def test_a_child_of_its_own_is_under_control_from_its_start(shim_library: Path, control: Control, folder: Path) -> None:
    control.arm(Action.FAIL, {Kind.OPEN}, error=errno.EMFILE)
    script = f"import sqlite3; sqlite3.connect({str(folder / 'file')!r}).execute('CREATE TABLE t (c)')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=control.environment(shim_library),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "unable to open database file" in done.stderr


def test_a_process_without_a_control_is_left_alone(zygote: Zygote, folder: Path) -> None:
    with zygote.start(write_and_sync, folder / "file", 1) as child:
        assert child.wait() == ["10"]


def test_this_process_carries_no_shim() -> None:
    assert not hasattr(ctypes.CDLL(None), "shim_mark")


def test_no_child_outlives_who_asked_for_it(tmp_path: Path, shim_library: Path) -> None:
    asker = """
import os, sys
from pathlib import Path
from tests.faults.injection import test_shim
from tests.faults.injection.zygote import Zygote
zygote = Zygote(Path(sys.argv[1])).__enter__()
print(zygote.start(test_shim.spin).pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", asker, str(shim_library)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL

    wait_until(lambda: not Path(f"/proc/{int(done.stdout)}").exists(), "the child to end")
