"""What was found, as plain text for people: the same on a terminal and on a pipe."""

from collections.abc import Sequence
from statistics import median

from benchmarks.contestants import BASELINE, ENTRIES
from benchmarks.heats import EMPTY_STORE
from benchmarks.notes import KINDS, Times
from benchmarks.ratios import Spread, spread
from benchmarks.reports_text import reports_text
from benchmarks.results import Claims, Cleanup, Cost, Figure, Heat, Memory, Results
from benchmarks.text_table import aligned
from benchmarks.workers import in_words
from benchmarks.workloads import WORKLOADS

TITLES = {
    "generations": "Generations",
    "shared": "All on one session",
    "reads": "Nothing but reads",
}
MEGABYTE = 1_000_000


def header_text(results: Results, fdatasync_us: float) -> str:
    """On what and with what was measured."""
    machine = results.machine
    return "\n".join(
        [
            "The benchmark of sessionstore: a generation is 13 acknowledged writes and 5 full reads; ratios are to the",
            "hand-written sqlite3 just before and after, at the same durability and with the same workers.",
            f"{machine['cpu']}, {machine['system']}; Python {machine['python']}, SQLite {machine['sqlite']}, "
            f"SQLAlchemy {machine['sqlalchemy']}",
            f"Databases are on {machine['disk']}; an fdatasync there takes {fdatasync_us:,.0f} µs.",
            "CPU ms: of all workers, for each generation; bytes: of the closed file and its WAL; sync: the disk's own",
            "fdatasync beside the run; worst: the longest write of all rounds; the rest are medians over the rounds.",
        ]
    )


def duration_text(seconds: float) -> str:
    """ "45 seconds" or "3.5 minutes"."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def label(contestant: str) -> str:
    return EMPTY_STORE.label if contestant == EMPTY_STORE.name else ENTRIES[contestant].label


def heat_text(heat: Heat) -> str:
    """The heat's title, its rates, and what each kind of call took."""
    filled = f", {heat.filled_sessions:,} sessions before" if heat.filled_sessions else ""
    title = f"{TITLES[heat.workload]}: {heat.durability}, {in_words(heat.workers)}{filled}"
    return "\n".join([title, aligned(_rates(heat)), "", aligned(_times(heat), left=2), *_complaints(heat), ""])


def _rates(heat: Heat) -> list[list[str]]:
    """A row for each contestant: medians over the rounds, but for the worst, the lost and the refused of all."""
    unit = WORKLOADS[heat.workload].unit
    header = [
        "ratio",
        "least",
        "most",
        f"{unit}/s",
        "CPU ms",
        "bytes/session",
        "sync µs",
        "worst ms",
        "lost",
        "refused",
    ]
    rows = [["", *header]]
    has_writes = any("write" in run.times for run in heat.runs)
    for contestant in heat.contestants():
        runs = heat.of(contestant)
        is_baseline = contestant == BASELINE.name
        rows.append(
            [
                label(contestant),
                *(["1", "", ""] if is_baseline else _spread_cells(spread(heat.ratios(contestant)))),
                f"{median(run.rate for run in runs):,.0f}",
                f"{median(run.cpu_ms for run in runs):.2f}",
                f"{median(run.bytes_a_session for run in runs):,.0f}",
                f"{median(run.fdatasync_us for run in runs):,.0f}",
                f"{max(run.worst_write_us() for run in runs) / 1000:,.1f}" if has_writes else "-",
                f"{sum(run.lost for run in runs):,}",
                f"{sum(run.refused for run in runs):,}",
            ]
        )
    return rows


def _spread_cells(ratio: Spread | None) -> list[str]:
    if ratio is None:
        return ["-", "", ""]
    return [f"{each:.2f}" for each in (ratio.median, ratio.least, ratio.most)]


def _times(heat: Heat) -> list[list[str]]:
    """Three rows for each contestant: medians over the rounds of p50 and p99, and the longest of all rounds."""
    kinds = [kind for kind in KINDS if any(kind in run.times for run in heat.runs)]
    rows = [["", "µs", *kinds]]
    for contestant in heat.contestants():
        runs = heat.of(contestant)
        columns = [_times_of_kind([run.times[kind] for run in runs if kind in run.times]) for kind in kinds]
        rows += [
            [name, quantile, *cells]
            for name, quantile, *cells in zip((label(contestant), "", ""), ("p50", "p99", "max"), *columns, strict=True)
        ]
    return rows


def _times_of_kind(times: Sequence[Times]) -> list[str]:
    if not times:
        return ["-"] * 3
    p50, p99 = median(each.p50 for each in times), median(each.p99 for each in times)
    return [f"{microseconds:,.0f}" for microseconds in (p50, p99, max(each.maximum for each in times))]


def _complaints(heat: Heat) -> list[str]:
    """The first loss and the first refusal of each contestant, in words."""
    lines = []
    for contestant in heat.contestants():
        runs = heat.of(contestant)
        for what in ("first_loss", "first_refusal"):
            sentence = next((getattr(run, what) for run in runs if getattr(run, what)), None)
            if sentence:
                lines.append(f"{label(contestant)}: {what.replace('_', ' ')}: {sentence}")
    return lines


def memory_text(memory: Memory) -> str:
    """One line for each measurement, and the growth."""
    lines = ["Resident memory of one process"]
    for generations, resident in zip(memory.generations, memory.resident_bytes, strict=True):
        lines.append(f"after {generations:,} generations  {resident / MEGABYTE:.1f} MB")
    return "\n".join([*lines, f"growth  {memory.growth():.3f}", ""])


def claims_text(claims: Claims) -> str:
    """What one claim and its completion took in each store, medians over the rounds."""
    lines = ["Claiming and completing, 8 threads"]
    for index, pending in enumerate(claims.pending):
        milliseconds = 1000 * median(seconds[index] for seconds in claims.seconds) / claims.claims
        lines.append(f"{pending:,} pending  {milliseconds:.3f} ms a session")
    return "\n".join([*lines, f"ratio  {median(claims.ratios()):.3f}", ""])


def costs_text(costs: Sequence[Cost], sessions: int) -> str:
    rows = [["", "p50 ms", "max ms", "calls"]]
    rows += [[cost.call, f"{cost.p50_ms:.2f}", f"{cost.max_ms:.2f}", str(cost.calls)] for cost in costs]
    return f"With {sessions:,} sessions in the store\n{aligned(rows)}\n"


def cleanup_text(cleanup: Cleanup) -> str:
    writes = cleanup.writes
    return "\n".join(
        [
            f"Deleting {cleanup.deleted:,} expired sessions took {cleanup.seconds:.1f} s",
            f"a write meanwhile, ms: p50 {writes.p50 / 1000:.2f}, p99 {writes.p99 / 1000:.2f}, "
            f"max {writes.maximum / 1000:.2f}; lost {cleanup.lost}, refused {cleanup.refused}",
            f"the file, MB: {cleanup.bytes_before / MEGABYTE:,.1f} before, {cleanup.bytes_after / MEGABYTE:,.1f} after",
            "",
        ]
    )


def figures_text(figures: Sequence[Figure]) -> str:
    """The figures to reach, and whether they are."""
    verdicts = {True: "met", False: "not met", None: "-"}
    rows = [["Figures to reach", "target", "found", ""]]
    rows += [[each.measure, each.target, each.found, verdicts[each.is_met]] for each in figures]
    return aligned(rows, left=4)


def results_text(results: Results) -> str:
    """All that was found, as it was printed while it was measured."""
    parts = [heat_text(heat) for heat in results.heats]
    if results.costs:
        parts.append(costs_text(results.costs, results.filled_sessions))
    if results.cleanup:
        parts.append(cleanup_text(results.cleanup))
    if results.memory:
        parts.append(memory_text(results.memory))
    if results.claims:
        parts.append(claims_text(results.claims))
    if results.reports:
        parts.append(reports_text(results.reports))
    return "\n".join([*parts, figures_text(results.figures)])
