"""Whether every acknowledged write is there, asked in a process that has seen none of them being made."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.contestants import Entry
from benchmarks.contestants.base import Contestant, Seen
from benchmarks.notes import Acknowledged
from benchmarks.processes import run_fresh


class Losses(NamedTuple):
    """How many acknowledged writes are gone, and a sentence about the first."""

    lost: int
    first: str | None


def verify(entry: Entry, path: Path, durability: str, acknowledged: Sequence[Acknowledged]) -> Losses:
    """Opens the store anew in a fresh process and compares."""
    (losses,) = run_fresh(look_for, (entry, path, durability, acknowledged))
    return losses


def look_for(entry: Entry, path: Path, durability: str, acknowledged: Sequence[Acknowledged]) -> Losses:
    """What of `acknowledged` the store at `path` has lost."""
    store = entry.load()(path, durability)
    try:
        sentences = list(_losses(store, acknowledged))
    finally:
        store.close()
    return Losses(len(sentences), sentences[0] if sentences else None)


def _losses(store: Contestant, acknowledged: Iterable[Acknowledged]) -> Iterator[str]:
    for each in acknowledged:
        seen = store.look(each.session_id)
        yield from (f"session {each.session_id}: {what} is not there" for what in _missing(each, seen))


def _missing(each: Acknowledged, seen: Seen | None) -> Iterator[str]:
    if seen is None:
        yield "its creation"
    there = set(seen.scenes) if seen else set()
    yield from (f"scene {number}" for number in each.scenes if number not in there)
    if each.status is not None and (seen is None or seen.status != each.status):
        yield f"status {each.status}"
    if each.step is not None and (seen is None or seen.step != each.step):
        yield f"progress step {each.step}"
