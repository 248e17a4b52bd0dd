"""Summing events up by the hour, so that reports read hours instead of events."""

from collections.abc import Callable

from sessionstore.operations.retention import never
from sessionstore.operations.store import Store

# Reports add so many events themselves in about a millisecond; a write for fewer is not worth it.
MANY_EVENTS = 1000
# Some 10 ms of work in one transaction, so that writers are never held up longer.
BATCH_EVENTS = 5000


def sum_up_when_many(store: Store, should_stop: Callable[[], bool]) -> None:
    """Sums up what is there, unless it is too little to be worth a write."""
    if store.engine.read(lambda unit: unit.totals.count_unsummed()) >= MANY_EVENTS:
        sum_up(store, should_stop)


def sum_up(store: Store, should_stop: Callable[[], bool] = never) -> None:
    """Sums up all events there are, in transactions of their own, so that writers get in between."""
    while not should_stop():
        if store.engine.write(lambda unit: unit.totals.sum_up(BATCH_EVENTS)) < BATCH_EVENTS:
            break
