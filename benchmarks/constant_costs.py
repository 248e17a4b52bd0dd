"""What must not grow with the store: counting, health, statistics, pages, and room for one more session."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median_low
from time import perf_counter

from benchmarks.contestants.this_store import ThisStore
from benchmarks.filling import Filling
from benchmarks.generation import SCENES, STORY
from benchmarks.processes import run_fresh
from benchmarks.results import Cost
from sessionstore import GenerationRequest, SessionManager

# What is constant takes milliseconds: then 200 calls. What is not may take a second: then as many as fit.
MOST_CALLS = 200
MOST_SECONDS = 3.0
PAGE_SESSIONS = 50
# Longer than anything is kept: then nothing is expired, and a full store must evict.
FOR_EVER_HOURS = 100_000

AT_CAPACITY = "create_session when full, the oldest goes"
AT_CAPACITY_EXPIRED = "create_session when full, an expired one goes"
COUNT, HEALTH, STATS = "get_session_count", "get_health_status", "get_performance_stats"
FRONT_PAGE, LAST_PAGE = "list_sessions, first page", "list_sessions, last page"


def measure_costs(path: Path, filling: Filling) -> list[Cost]:
    """In a fresh process, on the filled store at `path`, which is changed."""
    (costs,) = run_fresh(_measure, (path, filling))
    return costs


def _measure(path: Path, filling: Filling) -> list[Cost]:
    return [*_looking(path, filling), *_creating(path)]


def _looking(path: Path, filling: Filling) -> Iterator[Cost]:
    store = ThisStore(path, "full")
    manager = store.manager
    yield from costs_of({COUNT: manager.get_session_count})
    yield from costs_of({HEALTH: manager.get_health_status})
    yield from costs_of({STATS: manager.get_performance_stats})
    before, cursor = filling.created_at(filling.batch), _last_cursor(manager, filling)
    yield from costs_of(
        {
            FRONT_PAGE: partial(manager.list_sessions, limit=PAGE_SESSIONS),
            LAST_PAGE: partial(manager.list_sessions, created_before=before, cursor=cursor, limit=PAGE_SESSIONS),
        }
    )
    store.close()


def _last_cursor(manager: SessionManager, filling: Filling) -> str | None:
    """The cursor of the last page: reached through the oldest batch, to save the walk through all others."""
    cursor = None
    while True:
        page = manager.list_sessions(
            created_before=filling.created_at(filling.batch), cursor=cursor, limit=PAGE_SESSIONS
        )
        if page.next_cursor is None:
            return cursor
        cursor = page.next_cursor


def _creating(path: Path) -> Iterator[Cost]:
    keep = {
        f"{what}_hours": FOR_EVER_HOURS
        for what in ("session_max_age", "failed_retention", "completed_retention", "cancelled_retention")
    }
    request = GenerationRequest(story_text=STORY, num_scenes=SCENES)
    for call, overrides in ((AT_CAPACITY, keep), (AT_CAPACITY_EXPIRED, {})):
        with SessionManager(None, None, database_url=f"sqlite:///{path}") as counting:
            capacity = counting.get_session_count()
        store = ThisStore(path, "full", max_sessions=capacity, **overrides)
        yield from costs_of({call: partial(store.manager.create_session, request, metadata={"user": "u-17"})})
        store.close()


def costs_of(calls: Mapping[str, Callable[[], object]]) -> Iterator[Cost]:
    """Of several they are called in turn, so that they can be compared."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    end = perf_counter() + MOST_SECONDS * len(calls)
    for _ in range(MOST_CALLS):
        for name, call in calls.items():
            start = perf_counter()
            call()
            seconds[name].append(perf_counter() - start)
        if perf_counter() > end:
            break
    for name, measured in seconds.items():
        yield Cost(name, len(measured), 1000 * median_low(measured), 1000 * max(measured))
