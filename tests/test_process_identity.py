"""Telling a dead process from a living one, and from what nothing can be said of."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore import processes
from sessionstore.processes import is_dead, this_process
from tests.concurrency import wait_until

pytestmark = pytest.mark.skipif(this_process() is None, reason="this system does not tell who a process is")

# Says who it is, and lives until its input ends.
CHILD = (
    "import sys; from sessionstore.processes import this_process; print(this_process(), flush=True); sys.stdin.read()"
)


class Child:
    """A process, and what it calls itself."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.name = self.process.stdout.readline().strip()

    def kill(self) -> None:
        """As the system does; until `reap`, it is a zombie."""
        self.process.kill()
        stat = Path(f"/proc/{self.process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z", "the child to be dead")

    def reap(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.reap()


def parts_of(name: str) -> list[str]:
    """Machine, space of process numbers, number, start."""
    parts = name.split("/")
    assert len(parts) == 4
    return parts


def test_a_process_calls_itself_the_same_each_time_and_not_as_another_does(child: Child) -> None:
    name = this_process()
    assert name is not None
    assert this_process() == name
    assert parts_of(name)[:2] == parts_of(child.name)[:2]
    assert parts_of(name)[2] == str(os.getpid())
    assert name != child.name


def test_a_living_process_is_not_dead(child: Child) -> None:
    assert not is_dead(child.name)
    assert not is_dead(this_process())
    assert not is_dead(
        "/".join([*parts_of(child.name)[:2], str(os.getppid()), processes._start_of(os.getppid()) or ""])
    )


def test_somebody_elses_living_process_is_not_dead() -> None:
    start = processes._start_of(1) or "not to be seen"
    assert not is_dead("/".join([*parts_of(this_process() or "")[:2], "1", start]))


def test_a_killed_process_is_dead_before_and_after_its_parent_asks_for_it(child: Child) -> None:
    child.kill()
    assert is_dead(child.name)
    child.reap()
    assert is_dead(child.name)


def test_a_process_whose_number_was_given_to_another_is_dead(child: Child) -> None:
    *place, number, start = parts_of(child.name)
    assert is_dead("/".join([*place, number, str(int(start) - 1)]))
    assert is_dead("/".join([*place, number, str(int(start) + 1)]))


@pytest.mark.parametrize("part", [0, 1], ids=["another start of the machine", "another space of numbers"])
def test_nothing_is_said_of_a_process_elsewhere(child: Child, part: int) -> None:
    child.reap()
    assert is_dead(child.name)
    parts = parts_of(child.name)
    parts[part] += "0"
    assert not is_dead("/".join(parts))


@pytest.mark.parametrize("missing", ["BOOT_ID", "NUMBER_SPACE"])
def test_nothing_is_said_where_the_system_does_not_tell(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    child.reap()
    monkeypatch.setattr(processes, missing, tmp_path / "missing")
    monkeypatch.setattr(processes, "_known", (0, None))
    assert this_process() is None
    assert not is_dead(child.name)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "/",
        "////",
        "nonsense",
        "{machine}/{space}",
        "{machine}/{space}/{number}",
        "{machine}/{space}/{number}/",
        "{machine}/{space}//{start}",
        "{machine}/{space}/-1/{start}",
        "{machine}/{space}/0x10/{start}",
        "{machine}/{space}/ {number}/{start}",
        "{machine}/{space}/²/{start}",
        "{machine}/{space}/0/{start}",
        "{machine}/{space}/" + "9" * 30 + "/{start}",
        "{machine}/{space}/" + "9" * 5000 + "/{start}",
        "{machine}/{space}/{number}/{start}/more",
        "{machine}/{space}/{number}/not a start",
        "\0/\0/1/1",
        "\ud800/\ud800/1/1",
    ],
    ids=lambda text: repr(text)[:40],
)
def test_text_that_is_no_process_is_not_dead(text: str | None) -> None:
    machine, space, number, start = parts_of(this_process() or "")
    if text is not None:
        text = text.format(machine=machine, space=space, number=number, start=start)
    assert not is_dead(text)


def test_a_forked_child_is_somebody_else() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, (this_process() or "").encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        name = pipe.read()
    os.waitpid(pid, 0)
    assert parts_of(name)[2] == str(pid)
    assert is_dead(name)
    assert not is_dead(this_process())


def test_a_process_whose_name_looks_like_the_end_of_its_own_fields_is_told_by_its_start(tmp_path: Path) -> None:
    odd = tmp_path / ") Z 1 2"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([odd, "60"])
    try:
        wait_until(lambda: ") Z 1 2" in Path(f"/proc/{process.pid}/stat").read_text(), "the program to be started")
        start = processes._start_of(process.pid)
        assert start is not None
        assert start.isdecimal()
    finally:
        process.kill()
        process.wait()
