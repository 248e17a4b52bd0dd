"""Whether claiming costs more when many sessions wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from benchmarks.generation import SCENES, STORY
from benchmarks.processes import run_fresh
from benchmarks.results import Claims
from sessionstore import GenerationRequest, SessionManager

WORKERS = 8
# Of one round, claimed and completed in each store in turn; then as many are made again.
CLAIMS = 80
ROUNDS = 15
CREATED_AT_ONCE = 1000


def measure_claims(folder: Path, pending: tuple[int, int]) -> Claims:
    """Two stores, durability full, with few and many pending sessions; eight threads claim in one and in the other."""
    (seconds,) = run_fresh(_measure, (folder, pending))
    return Claims(pending, CLAIMS, seconds)


def _measure(folder: Path, pending: tuple[int, int]) -> list[tuple[float, float]]:
    stores = [
        SessionManager(None, None, database_url=f"sqlite:///{folder / f'claims-{count}.db'}") for count in pending
    ]
    try:
        for store, count in zip(stores, pending, strict=True):
            _create(store, count)
        return list(_rounds(*stores))
    finally:
        for store in stores:
            store.shutdown()


def _rounds(few: SessionManager, many: SessionManager) -> Iterator[tuple[float, float]]:
    with ThreadPoolExecutor(WORKERS) as threads:
        for _ in range(ROUNDS):
            yield _claim(few, threads), _claim(many, threads)
            for store in (few, many):
                _create(store, CLAIMS)


def _create(store: SessionManager, count: int) -> None:
    request = GenerationRequest(story_text=STORY, num_scenes=SCENES)
    for start in range(0, count, CREATED_AT_ONCE):
        with store.transaction():
            for _ in range(min(CREATED_AT_ONCE, count - start)):
                store.create_session(request)


def _claim(store: SessionManager, threads: ThreadPoolExecutor) -> float:
    """Seconds until each of the workers has claimed and completed its share."""

    def work(worker: int) -> None:
        for _ in range(CLAIMS // WORKERS):
            run = store.claim_next_session(f"worker-{worker}")
            assert run is not None
            run.complete()

    start = perf_counter()
    for _ in threads.map(work, range(WORKERS)):
        pass
    return perf_counter() - start
