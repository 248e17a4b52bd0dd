"""What the fault tests share: how far they go, what they draw by chance, and the table of what was found."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.injection.building import build_shim
from tests.faults.injection.zygote import Zygote
from tests.faults.tally import TALLIED, Extent, Tally, lines_of

SEED_VARIABLE = "SESSIONSTORE_TEST_SEED"


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether this is the long run, asked for with `--long`."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def extent(is_long: bool) -> Extent:
    """`extent(short, long)`: how often, or for how many seconds, in this run."""
    return lambda short, long: long if is_long else short


@pytest.fixture
def chance() -> random.Random:
    """What is left to chance. A failure shows the seed, with which the same is drawn again."""
    seed = int(os.environ.get(SEED_VARIABLE, random.randrange(2**32)))
    print(f"{SEED_VARIABLE}={seed} draws the same again")
    return random.Random(seed)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """`tally(fault, extent, found)`: a line of the table that the run ends with."""

    def note(fault: str, extent: str, found: str) -> None:
        # As plain text: what a test calls its words by cannot cross to the process that prints them.
        record_property(TALLIED, [str(each) for each in (fault, extent, found)])

    return note


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `LD_PRELOAD` loads into children whose system calls are to fail; see `tests.faults.injection.shim`."""
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def zygote(shim_library: Path) -> Iterator[Zygote]:
    """Forks children that carry the library."""
    with Zygote(shim_library) as zygote:
        yield zygote


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for tests to which a sync is a call and not a wait for the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="sessionstore-", dir=memory))
    yield folder
    shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was brought about in this run, and what was found of it."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == TALLIED and report.when == "call"
    ]
    if rows:
        terminalreporter.section("faults")
        for line in lines_of(rows):
            terminalreporter.write_line(line)
