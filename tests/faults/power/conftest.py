"""What the power cuts happen to: children of one zygote, recorded on folders in memory."""

import random
from pathlib import Path

import pytest

from tests.faults.injection.zygote import Zygote
from tests.faults.power.examination import Examination
from tests.faults.power.runs import Recorder


@pytest.fixture
def recorder(zygote: Zygote, quick_folder: Path) -> Recorder:
    return Recorder(zygote, quick_folder)


@pytest.fixture
def examination(quick_folder: Path, chance: random.Random) -> Examination:
    return Examination(quick_folder / "cut", chance)
