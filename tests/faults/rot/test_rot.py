"""A store on a disk that rots: each answer is right or a typed error, and `check` finds what is missing or refused."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from sessionstore import SessionManager
from sessionstore.errors import SessionManagerError
from sessionstore.persistence import calls, following, history, mending, repository, scenes, session_rows
from tests.faults.rot.answers import (
    MISSING,
    REFUSED,
    RIGHT,
    WRONG,
    Answers,
    compare,
    is_found,
    opened,
    right_answers,
    told,
)
from tests.faults.rot.damage import Damage, change_a_value, damage_the_wal, flip_a_bit, swap_pages, zero_a_page
from tests.faults.rot.stores import build, build_killed
from tests.faults.tally import Extent, Tally

KINDS: dict[str, tuple[Damage, int, int]] = {
    "a flipped bit": (flip_a_bit, 40, 3000),
    "a zeroed page": (zero_a_page, 12, 500),
    "two swapped pages": (swap_pages, 12, 500),
    "a changed value": (change_a_value, 16, 500),
}
WAL_STATES = (20, 500)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Answers]:
    """A closed store, the ids of all its sessions, and what it answers."""
    database = tmp_path_factory.mktemp("sound") / "sessions.db"
    session_ids = build(database)
    manager = opened(database)
    right = right_answers(manager, session_ids)
    manager.shutdown()
    return database, session_ids, right


class Found:
    """What was found of many damaged states."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.unopened = self.unfound = 0

    def __str__(self) -> str:
        return (
            f"{len(self.wrong)} wrong answers, {self.unfound} states with something missing that check does not find; "
            f"{self.unopened} not opened, answers {dict(self.verdicts)}"
        )


def look_at(database: Path, right: Answers, session_ids: list[str], found: Found, what: str) -> dict[str, str]:
    """Asks a damaged store everything; its files stay, whatever they hold."""
    before = {each.name for each in database.parent.iterdir()}
    try:
        manager = opened(database)
    except SessionManagerError:
        found.unopened += 1
        return {}
    try:
        verdicts = compare(manager, right, session_ids)
        found.verdicts.update(verdicts.values())
        found.wrong += [f"{what}: {question}" for question, verdict in verdicts.items() if verdict == WRONG]
        if set(verdicts.values()) & {MISSING, REFUSED} and not is_found(manager):
            found.unfound += 1
    finally:
        manager.shutdown()
    after = {each.name for each in database.parent.iterdir() if not each.name.endswith(("-wal", "-shm"))}
    assert before >= after >= {database.name}
    return verdicts


def copied(database: Path, folder: Path) -> Path:
    """A copy of a closed store, in place of the last one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Path(shutil.copy(database, folder / database.name))


@pytest.mark.parametrize("kind", KINDS)
def test_what_rots_is_never_returned_as_right_and_check_finds_what_is_missing(
    kind: str,
    sound: tuple[Path, list[str], Answers],
    chance: random.Random,
    extent: Extent,
    tally: Tally,
    tmp_path: Path,
) -> None:
    (database, session_ids, right), (damage, *states) = sound, KINDS[kind]
    found, count = Found(), extent(*states)

    for number in range(count):
        copy = copied(database, tmp_path / "copy")
        damage(copy, chance)
        look_at(copy, right, session_ids, found, f"state {number}")

    tally(f"rot: {kind}", f"{count:,} states", str(found))
    assert found.wrong == []
    assert found.unfound == 0


def test_a_row_that_is_damaged_leaves_all_other_sessions_as_they_are(
    sound: tuple[Path, list[str], Answers], chance: random.Random, tmp_path: Path
) -> None:
    database, session_ids, right = sound
    for _ in range(5):
        copy = copied(database, tmp_path / "copy")
        change_a_value(copy, chance)
        verdicts = look_at(copy, right, session_ids, Found(), "")

        got = Counter(verdict for question, verdict in verdicts.items() if question.startswith("get "))
        assert got[REFUSED] <= 1
        assert got[RIGHT] + got[REFUSED] == len(session_ids)


def test_control_without_verification_wrong_data_is_returned_as_right(
    sound: tuple[Path, list[str], Answers], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same ways to rot, drawn from one seed."""
    database, session_ids, right = sound
    without_verification(monkeypatch)
    found, chance = Found(), random.Random(7)

    for damage, count in ((flip_a_bit, 20), (change_a_value, 10)):
        for number in range(count):
            copy = copied(database, tmp_path / "copy")
            damage(copy, chance)
            try:
                look_at(copy, right, session_ids, found, f"state {number}")
            except (ValueError, TypeError, AttributeError):
                # What is not verified may be anything.
                continue

    assert found.wrong != []


def without_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the comparison of every checksum."""
    for module in (session_rows, scenes, history, following, calls, repository, mending):
        for name in ("is_sound", "is_sound_text"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_: True)
    monkeypatch.setattr(scenes, "are_sound", lambda *_: True)


def test_a_damaged_wal_gives_whole_transactions_up_to_some_commit(
    chance: random.Random, extent: Extent, tally: Tally, tmp_path: Path
) -> None:
    """SQLite leaves out the end of a WAL that is damaged without a word; what is promised is that nothing is torn."""
    store = tmp_path / "killed"
    store.mkdir()
    acknowledged = build_killed(store / "sessions.db")
    whole = tmp_path / "whole"
    shutil.copytree(store, whole)
    manager = opened(whole / "sessions.db")
    assert last_commit(manager, acknowledged) == len(acknowledged)
    manager.shutdown()
    count, lost, torn, refused = extent(*WAL_STATES), 0, [], 0

    for number in range(count):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(store, folder)
        damage_the_wal(folder / "sessions.db", chance)
        try:
            manager = opened(folder / "sessions.db")
        except SessionManagerError:
            refused += 1
            continue
        last = last_commit(manager, acknowledged)
        manager.shutdown()
        if last is None:
            torn.append(number)
        else:
            lost += last < len(acknowledged)

    tally(
        "rot: a damaged WAL",
        f"{count:,} states",
        f"{len(torn)} torn; {lost} without their last commits, {refused} refused",
    )
    assert torn == []
    assert lost > 0, "a control: the damage had an effect"


def last_commit(manager: SessionManager, acknowledged: list[tuple[str, str | None]]) -> int | None:
    """After which of the acknowledged writes all sessions are as they are; None when after none."""
    session_ids = {session_id for session_id, _ in acknowledged}
    answers = {session_id: told(manager.get_session(session_id)) for session_id in session_ids}
    state: dict[str, str | None] = dict.fromkeys(session_ids)
    fitting = 0 if state == answers else None
    for number, (session_id, session) in enumerate(acknowledged, start=1):
        state[session_id] = session
        if state == answers:
            fitting = number
    return fitting
