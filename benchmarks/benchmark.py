"""The whole benchmark: says what it will do, does it, and prints each part as soon as it is known."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import disk, machine, report
from benchmarks.beside_reports import measure_beside_reports
from benchmarks.claims import measure_claims
from benchmarks.cleanup import measure_cleanup
from benchmarks.constant_costs import measure_costs
from benchmarks.contestants import STORE
from benchmarks.figures import figures
from benchmarks.filling import Filling, fill, filling_until_now
from benchmarks.heats import Plan, run_heat
from benchmarks.history import history_until_now, make_history
from benchmarks.memory import measure_memory
from benchmarks.options import Options
from benchmarks.planning import estimated_seconds, plans
from benchmarks.progress import Progress
from benchmarks.reports import measure_reports
from benchmarks.reports_text import reports_text
from benchmarks.results import Reports, Results
from benchmarks.runs import copy_to_disk


def run_benchmark(options: Options) -> Results:
    """Everything that the options ask for, in a temporary folder that is gone afterwards."""
    results = Results(datetime.now(UTC).isoformat(timespec="seconds"), machine.facts(options.folder), options.chosen())
    planned = plans(options)
    with tempfile.TemporaryDirectory(prefix=".sessionstore-bench-", dir=options.folder) as folder:
        print(report.header_text(results, disk.fdatasync_us(Path(folder))))
        print(f"This takes about {report.duration_text(estimated_seconds(options, planned))}.\n", flush=True)
        _measure(options, planned, Path(folder), results)
    results.figures = figures(results)
    print(report.figures_text(results.figures), flush=True)
    return results


def _measure(options: Options, planned: Sequence[Plan], folder: Path, results: Results) -> None:
    progress = Progress()
    filling = None if options.sessions is None else filling_until_now(options.sessions)
    templates = {} if filling is None else fill(filling, folder)
    for plan in planned:
        heat = run_heat(plan, folder, progress, templates)
        results.heats.append(heat)
        progress.clear()
        print(report.heat_text(heat), flush=True)
    if filling is not None:
        results.filled_sessions = filling.sessions
        _measure_filled(templates[STORE.name], filling, folder, progress, results)
    _measure_parts(options, folder, progress, results)


def _measure_parts(options: Options, folder: Path, progress: Progress, results: Results) -> None:
    """What needs neither contestants nor the filled store."""
    if options.memory is not None:
        few, many = options.memory
        progress.show(f"{many:,} generations in one process")
        results.memory = measure_memory(folder, (few, many))
        progress.clear()
        print(report.memory_text(results.memory), flush=True)
    if options.claims is not None:
        few, many = options.claims
        progress.show(f"claiming with {few:,} and {many:,} pending sessions")
        results.claims = measure_claims(folder, (few, many))
        progress.clear()
        print(report.claims_text(results.claims), flush=True)
    if options.reports is not None:
        results.reports = _measure_reports(options.reports, folder / "history.db", progress)
        progress.clear()
        print(reports_text(results.reports), flush=True)


def _measure_reports(sessions: int, path: Path, progress: Progress) -> Reports:
    history = history_until_now(sessions)
    filling_seconds = make_history(history, path)
    progress.show("reporting over a day and over everything")
    costs = measure_reports(path, history)
    progress.show("writing beside reports")
    return Reports(sessions, filling_seconds, costs, measure_beside_reports(path))


def _measure_filled(template: Path, filling: Filling, folder: Path, progress: Progress, results: Results) -> None:
    progress.show("counting, listing and creating with a filled store")
    with _copy(template, folder) as path:
        results.costs = measure_costs(path, filling)
    progress.clear()
    print(report.costs_text(results.costs, filling.sessions), flush=True)
    progress.show("deleting expired sessions while somebody writes")
    with _copy(template, folder) as path:
        results.cleanup = measure_cleanup(path, filling)
    progress.clear()
    print(report.cleanup_text(results.cleanup), flush=True)


@contextmanager
def _copy(template: Path, folder: Path) -> Iterator[Path]:
    """A copy alone in a folder, so that all in there is the database."""
    with tempfile.TemporaryDirectory(dir=folder) as alone:
        path = Path(alone) / "sessions.db"
        copy_to_disk(template, path)
        yield path
