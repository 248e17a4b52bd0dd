"""Which heats the options ask for, and how long all that will take."""

from collections.abc import Sequence
from itertools import product
from typing import TypeVar

from benchmarks.contestants import STORE
from benchmarks.heats import Plan
from benchmarks.options import DURABILITIES, Options
from benchmarks.workers import Workers

T = TypeVar("T")

ONE, EIGHT, MANY = (Workers(1, threads) for threads in (1, 8, 32))
FOUR_PROCESSES = Workers(4, 1)
USUAL_WORKERS = (ONE, EIGHT, FOUR_PROCESSES)

# For the estimate, on a laptop: a generation at normal, a creation among many, a session that is filled in (both
# stores), one that is copied, one that is part of a month's history, and reports with writers beside them.
GENERATION_SECONDS = 0.002
CREATION_SECONDS = 0.0002
FILLING_SECONDS = 0.0006
COPYING_SECONDS = 0.00003
HISTORY_SECONDS = 0.0008
REPORTING_SECONDS = 180


def plans(options: Options) -> list[Plan]:
    """The heats, in the order in which they run."""
    if options.sessions is not None:
        chosen = _filled(options, options.sessions)
    else:
        chosen = _generations(options) if options.is_bare() else []
    if options.shared:
        chosen += _shared(options)
    if options.read_cost:
        chosen.append(_reads(options))
    return chosen


def estimated_seconds(options: Options, planned: Sequence[Plan]) -> float:
    """How long everything takes, about."""
    seconds = sum(plan.estimated_seconds() for plan in planned)
    if options.memory is not None:
        seconds += options.memory[-1] * GENERATION_SECONDS
    if options.claims is not None:
        seconds += sum(options.claims) * CREATION_SECONDS
    if options.reports is not None:
        seconds += options.reports * HISTORY_SECONDS + REPORTING_SECONDS
    if options.sessions is not None:
        copies = 2 + sum(2 * plan.rounds + 1 for plan in planned if plan.filled_sessions)
        seconds += options.sessions * (FILLING_SECONDS + copies * COPYING_SECONDS) + 30
    return seconds


def _generations(options: Options) -> list[Plan]:
    entries = options.entries()
    heats = []
    durabilities = _once(options.durability, DURABILITIES[:1] if options.quick else DURABILITIES)
    for durability, workers in product(durabilities, _once(options.workers, USUAL_WORKERS)):
        heats.append(Plan("generations", durability, workers, entries, options.rounds, options.seconds))
    is_untouched = not (options.quick or options.durability or options.workers or options.only)
    return heats + _alone(options) if is_untouched else heats


def _alone(options: Options) -> list[Plan]:
    """What is measured of this store alone, for the figures that only it has to reach."""
    only_store = (STORE,)
    return [
        Plan("generations", "full", MANY, only_store, options.rounds, options.seconds),
        Plan("reads", "normal", ONE, only_store, options.rounds, options.seconds),
        Plan("shared", "full", EIGHT, only_store, 1, options.seconds),
        Plan("shared", "full", FOUR_PROCESSES, only_store, 1, options.seconds),
    ]


def _shared(options: Options) -> list[Plan]:
    heats = product(_once(options.durability, ["full"]), _once(options.workers, USUAL_WORKERS[1:]))
    entries = options.entries()
    return [
        Plan("shared", durability, workers, entries, options.rounds, options.seconds) for durability, workers in heats
    ]


def _reads(options: Options) -> Plan:
    # Reading does not sync; normal is sooner ready.
    return Plan("reads", "normal", ONE, options.entries(), options.rounds, options.seconds)


def _filled(options: Options, sessions: int) -> list[Plan]:
    return [
        Plan("generations", durability, workers, (STORE,), options.rounds, options.seconds, sessions)
        for durability, workers in product(_once(options.durability, ["full"]), _once(options.workers, [ONE]))
    ]


def _once(chosen: Sequence[T] | None, usual: Sequence[T]) -> list[T]:
    """What was chosen, each once, or else what is usual."""
    return list(dict.fromkeys(chosen or usual))
