"""Each call and each value: a value comes back exactly, or is refused in words, and nothing else is changed."""

import inspect
import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from sessionstore import SessionManager
from tests.faults.tally import Extent, Tally
from tests.faults.values.examination import ACCEPTED, EVERYWHERE, REFUSED, examine
from tests.faults.values.hostile import VALUES
from tests.faults.values.places import PLACES
from tests.faults.values.stage import Stage

# Each place and each value several times; 160 would do for once.
SHORT_CASES = 2000
# Of these, every value that is good is carried out, and cleans up or closes what others are to be tested on.
# A `progress` of a backup is called, which tests/copies looks at.
TESTED_ELSEWHERE = {
    "cleanup_expired_sessions(max_age_hours)",
    "reconfigure(max_sessions)",
    "shutdown(timeout)",
    "backup(progress)",
}
ENDLESS = "endless"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One store for all cases, in a folder from which ".." leads to nothing that matters."""
    folder = tmp_path_factory.mktemp("values") / "a" / "b" / "c" / "d" / "e"
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, Stage(folder / "sessions.db") as stage:
        patch.chdir(folder)
        yield stage


def pairs(chosen: int) -> list[tuple[str, str]]:
    """So many pairs of a place and a value: all of them, or a diagonal on which each of both appears."""
    places, values = list(EVERYWHERE), list(VALUES)
    everything = list(itertools.product(places, values))
    if chosen >= len(everything):
        return everything
    assert chosen >= max(len(places), len(values))
    return [(places[number % len(places)], values[number % len(values)]) for number in range(chosen)]


def test_every_argument_of_every_method_is_a_place() -> None:
    tested = {name.partition(":")[0] for name in PLACES} | TESTED_ELSEWHERE
    public = {name: method for name, method in vars(SessionManager).items() if inspect.isfunction(method)}
    arguments = {
        f"{name}({argument})"
        for name, method in public.items()
        if not name.startswith("_")
        for argument in list(inspect.signature(method).parameters)[1:]
    }
    assert arguments == tested


def test_each_value_comes_back_or_is_refused_in_words(stage: Stage, extent: Extent, tally: Tally) -> None:
    found: Counter[str] = Counter()
    failed: list[str] = []
    for place_name, value_name in pairs(extent(SHORT_CASES, len(EVERYWHERE) * len(VALUES))):
        try:
            found[examine(stage, EVERYWHERE[place_name], VALUES[value_name])] += 1
        except Exception as error:  # noqa: BLE001 - all are told at once
            failed.append(f"{place_name} <- {value_name}: {error!r:.200}")

    assert not failed, "\n".join(failed[:200])
    assert min(found[ACCEPTED], found[REFUSED]) > 0
    tally(
        "hostile values, each call",
        f"{found.total():,} pairs",
        f"{found[REFUSED]:,} refused in words, {found[ACCEPTED]:,} back as they were",
    )


def test_calls_without_arguments_answer_beside_hostile_values(stage: Stage) -> None:
    for fragment in ("'; DROP TABLE sessions; --", "%", "\x1b[2J", "\u202e"):
        stage.manager.create_session({"story_text": fragment, "media": fragment}, metadata={fragment: fragment})
    for method in (
        *("get_session_count", "get_all_sessions_info", "get_performance_stats", "get_health_status", "get_metrics"),
        *("list_held_calls", "recover_interrupted_sessions", "check", "cleanup_failed_sessions"),
    ):
        getattr(stage.manager, method)()
    stage.assert_unharmed()
    assert stage.manager.force_cleanup_all() > 4
