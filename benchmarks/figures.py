"""The figures that this store has to reach, each with what was found."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Literal

from benchmarks import constant_costs
from benchmarks.contestants import STORE
from benchmarks.heats import EMPTY_STORE
from benchmarks.ratios import spread
from benchmarks.results import Figure, Heat, Reports, Results, Run

ORM = "orm"
# From here on a disk counts as slow, and a shared commit as worth more.
SLOW_SYNC_US = 2000
# What a page that shows a day can wait for, and what somebody does who asks for all.
DAY_MS, EVERYTHING_MS = 100, 2000
# As beside a cleanup.
WRITE_BESIDE_MS = 50


def figures(results: Results) -> list[Figure]:
    """All of them; those of a filled store only when one was measured."""
    found = [
        *_rates(results),
        *_worst_writes(results),
        _shared(results),
        _reading(results),
        _memory(results),
        _claims(results),
        *_reports(results.reports),
        *_beside_reports(results.reports),
    ]
    if results.filled_sessions:
        found += [*_filled(results)]
    return found


def _rates(results: Results) -> Iterator[Figure]:
    for durability, least in (("full", 0.75), ("normal", 0.5)):
        heat = results.heat("generations", durability, "1t")
        yield _at_least(least, f"generations/s, 1 thread, {durability}, to sqlite3", _ratios(heat))
    heat = results.heat("generations", "full", "8t")
    is_slow = heat is not None and median(run.fdatasync_us for run in heat.runs) >= SLOW_SYNC_US
    disk = "fdatasync of 2 ms or more" if is_slow else "fdatasync below 2 ms"
    yield _at_least(4 if is_slow else 1.7, f"generations/s, 8 threads, full, to sqlite3 ({disk})", _ratios(heat))
    heat = results.heat("generations", "full", "1t")
    yield _at_least(4, "generations/s, 1 thread, full, to the usual ORM repository", _to_orm(heat))


def _worst_writes(results: Results) -> Iterator[Figure]:
    for workers in ("8t", "32t"):
        heat = results.heat("generations", "full", workers)
        ratios = _ratios(heat, Run.worst_write_us)
        yield _at_most(0.1, f"worst write, {workers[:-1]} threads, full, to sqlite3", ratios)


def _shared(results: Results) -> Figure:
    measure = "scenes lost or refused, 8 threads and 4 processes on one session"
    heats = [results.heat("shared", "full", workers) for workers in ("8t", "4p")]
    runs = [run for heat in heats if heat for run in heat.of(STORE.name)]
    if None in heats or not runs:
        return _not_measured(measure, "0", "--shared")
    lost = sum(run.lost + run.refused for run in runs)
    return Figure(measure, "0", str(lost), lost == 0)


def _reading(results: Results) -> Figure:
    heat = results.heat("reads", "normal", "1t")
    return _at_most(2.5, "get_session with 5 scenes, p50, to sqlite3", _ratios(heat, Run.read_p50_us), "--read-cost")


def _memory(results: Results) -> Figure:
    memory = results.memory
    few, many = memory.generations if memory else (10_000, 100_000)
    measure = f"memory after {many:,} generations, to that after {few:,}"
    return _at_most(1.05, measure, [memory.growth()] if memory else [], "--memory")


def _claims(results: Results) -> Figure:
    claims = results.claims
    few, many = claims.pending if claims else (100, 100_000)
    measure = f"claiming with {many:,} pending sessions and 8 workers, to {few:,}"
    return _at_most(1.25, measure, claims.ratios() if claims else [], "--claims")


def _reports(reports: Reports | None) -> Iterator[Figure]:
    sessions = f"{reports.sessions if reports else 1_000_000:,} sessions"
    windows: tuple[tuple[Literal["day", "all"], str, int], ...] = (
        ("day", "a day", DAY_MS),
        ("all", "everything", EVERYTHING_MS),
    )
    for window, what, most_ms in windows:
        measure = f"each report over {what}, {sessions}"
        if reports is None:
            yield _not_measured(measure, f"under {most_ms:,} ms", "--reports")
        else:
            yield _each_under(most_ms, measure, reports.costs_ms(window))


def _beside_reports(reports: Reports | None) -> Iterator[Figure]:
    """Sharing a processor costs everybody; who waited for reports would, in each round, wait for the longest."""
    p99, at_most = "a write beside reports over everything, p99", f"at most {WRITE_BESIDE_MS} ms"
    worst, under = "then: the worst write, median over the rounds", "under the longest report"
    if reports is None:
        yield from (_not_measured(p99, at_most, "--reports"), _not_measured(worst, under, "--reports"))
        return
    p99_ms = reports.beside_ms(lambda pace: pace.writes.p99)
    yield Figure(p99, at_most, f"{p99_ms:.2f} ms", p99_ms <= WRITE_BESIDE_MS)
    worst_ms, longest_ms = reports.beside_ms(lambda pace: pace.writes.maximum), max(reports.costs_ms("all").values())
    yield Figure(worst, f"{under}, {longest_ms:,.0f} ms", f"{worst_ms:,.0f} ms", worst_ms < longest_ms)


def _each_under(most_ms: float, measure: str, found_ms: dict[str, float]) -> Figure:
    """All that take too long are named, or else the slowest."""
    slowest = max(found_ms, key=found_ms.__getitem__)
    named = [each for each, ms in found_ms.items() if ms >= most_ms] or [slowest]
    found = ", ".join(f"{each} {found_ms[each]:,.0f} ms" for each in named)
    return Figure(measure, f"under {most_ms:,} ms", found, found_ms[slowest] < most_ms)


def _filled(results: Results) -> Iterator[Figure]:
    sessions = f"{results.filled_sessions:,} sessions"
    for heat in results.heats:
        if heat.filled_sessions:
            costs = [1 / ratio for ratio in heat.ratios(STORE.name, reference=EMPTY_STORE.name) if ratio]
            workers = f"{heat.workers}, {heat.durability}"
            yield _at_most(1.25, f"a generation with {sessions}, {workers}, to the empty store", costs)
    costs_ms = {cost.call: cost.p50_ms for cost in results.costs}
    for call in (
        constant_costs.AT_CAPACITY,
        constant_costs.AT_CAPACITY_EXPIRED,
        constant_costs.COUNT,
        constant_costs.HEALTH,
        constant_costs.STATS,
    ):
        found = costs_ms[call]
        yield Figure(f"{call}, {sessions}", "under 5 ms", f"{found:.2f} ms", found < 5)
    yield _pages(costs_ms)
    if results.cleanup:
        p99_ms = results.cleanup.writes.p99 / 1000
        measure = f"a write while {results.cleanup.deleted:,} sessions are deleted, p99"
        yield Figure(measure, "at most 50 ms", f"{p99_ms:.2f} ms", p99_ms <= 50)
        saved = 1 - results.cleanup.bytes_after / results.cleanup.bytes_before
        yield Figure("the file after the cleanup", "smaller", f"{saved:.1%} smaller", saved > 0)


def _pages(costs_ms: dict[str, float]) -> Figure:
    """The same: neither is more than a quarter dearer than the other."""
    ratio = costs_ms[constant_costs.LAST_PAGE] / costs_ms[constant_costs.FRONT_PAGE]
    return Figure("list_sessions, last page to the first", "0.8 to 1.25", f"{ratio:.2f}", 0.8 <= ratio <= 1.25)


def _ratios(heat: Heat | None, value: Callable[[Run], float] = lambda run: run.rate) -> list[float]:
    return heat.ratios(STORE.name, value) if heat else []


def _to_orm(heat: Heat | None) -> list[float]:
    """Round for round, each by the sqlite3 beside it."""
    if heat is None:
        return []
    pairs = zip(heat.ratios(STORE.name), heat.ratios(ORM), strict=False)
    return [store / orm for store, orm in pairs if orm]


def _at_least(least: float, measure: str, ratios: Sequence[float]) -> Figure:
    found = spread(ratios)
    if found is None:
        return _not_measured(measure, f"at least {least:g}")
    return Figure(measure, f"at least {least:g}", f"{found.median:.2f}", found.median >= least)


def _at_most(most: float, measure: str, ratios: Sequence[float], option: str | None = None) -> Figure:
    found = spread(ratios)
    if found is None:
        return _not_measured(measure, f"at most {most:g}", option)
    return Figure(measure, f"at most {most:g}", f"{found.median:.3g}", found.median <= most)


def _not_measured(measure: str, target: str, option: str | None = None) -> Figure:
    return Figure(measure, target, f"not measured ({option})" if option else "not measured", None)
