"""Documents, texts and calls drawn by chance: JSON of all shapes, all code points there are, and fragments of SQL."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.tally import Extent, Tally
from tests.faults.values.examination import ACCEPTED, EVERYWHERE, REFUSED, examine
from tests.faults.values.hostile import SQL_FRAGMENTS, VALUES
from tests.faults.values.stage import Stage

# All code points, lone surrogates and NUL among them.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=40), st.sampled_from(SQL_FRAGMENTS), st.text("%_'\";-{}\\\0\x1b", max_size=9)
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary(max_size=9), st.datetimes())
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
# Not those that make what is drawn: files of any name, and as many threads as they are told.
LEFT_OUT = {"backup(path)", "snapshot(path)", "manager: path", "pool: threads"}
DRAWN = sorted(set(EVERYWHERE) - LEFT_OUT)
# As often as all others together, since what is refused shows less.
READ_BACK = [name for name in DRAWN if EVERYWHERE[name].read is not None]
PLACES_DRAWN = st.sampled_from(READ_BACK) | st.sampled_from(DRAWN)
VALUES_DRAWN = DOCUMENTS | st.sampled_from(sorted(VALUES)).map(lambda name: VALUES[name]())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("chance") / "a" / "b" / "c" / "d"
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, Stage(folder / "sessions.db") as stage:
        patch.chdir(folder)
        yield stage


def test_whatever_is_drawn_comes_back_or_is_refused_in_words(stage: Stage, extent: Extent, tally: Tally) -> None:
    found: Counter[str] = Counter()

    @settings(max_examples=extent(600, 100_000), suppress_health_check=list(HealthCheck))
    @given(place=PLACES_DRAWN, value=VALUES_DRAWN)
    def draw(place: str, value: Any) -> None:
        found[examine(stage, EVERYWHERE[place], lambda: value)] += 1

    draw()

    assert min(found[ACCEPTED], found[REFUSED]) > 0
    tally(
        "hostile values, by chance",
        f"{found.total():,} calls",
        f"{found[REFUSED]:,} refused in words, {found[ACCEPTED]:,} back as they were",
    )
