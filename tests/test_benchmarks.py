"""The benchmark: that it measures, divides, and above all looks for what was acknowledged. No times are asserted."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    beside_reports,
    claims,
    cleanup,
    constant_costs,
    filling,
    history,
    memory,
    reports,
    verification,
)
from benchmarks.__main__ import main
from benchmarks.contestants import BASELINE, CORE, ENTRIES, STORE, Entry
from benchmarks.contestants.hand_written import HandWritten
from benchmarks.figures import figures
from benchmarks.filling import Filling
from benchmarks.generation import SCENES, run_generation
from benchmarks.heats import Plan
from benchmarks.notes import Acknowledged, Notes, Times
from benchmarks.options import parse
from benchmarks.planning import plans
from benchmarks.ratios import Spread, spread, to_neighbours
from benchmarks.results import RESULTS, BesideReports, Cost, Pace, ReportCost, Reports, Results
from benchmarks.text_table import aligned
from benchmarks.workers import Workers
from sessionstore import SessionManager

TINY = ("--rounds", "1", "--seconds", "0.05")


class Forgetful(HandWritten):
    """Acknowledges the third scene of each session, shows it as long as it is open, and never saves it."""

    def __init__(self, path: Path, durability: str) -> None:
        super().__init__(path, durability)
        self._pretended: set[str] = set()

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        if scene["scene_number"] == 3:
            self._pretended.add(session_id)
        else:
            super().add_scene(session_id, scene)

    def read(self, session_id: str) -> list[int]:
        pretended = {3} if session_id in self._pretended else set()
        return sorted({*super().read(session_id)} | pretended)


FORGETFUL = Entry(STORE.name, STORE.label, __name__, "Forgetful", 0.1)


def in_this_process(task: Callable[..., Any], *argument_lists: Sequence[Any]) -> list[Any]:
    """Stands for `run_fresh` where starting processes is not what is tested."""
    return [task(*arguments) for arguments in argument_lists]


def in_threads(task: Callable[..., Any], *argument_lists: Sequence[Any]) -> list[Any]:
    """As `in_this_process`, for tasks that meet."""
    with ThreadPoolExecutor(len(argument_lists)) as threads:
        return [part.result() for part in [threads.submit(task, *arguments) for arguments in argument_lists]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "databases").mkdir()
    return tmp_path / "databases"


def test_a_tiny_run_measures_verifies_tells_and_leaves_nothing_but_its_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "found.json"
    arguments = ["--durability", "normal", "--workers", "2t", "--only", "sessionstore", "orm", *TINY]

    assert main([*arguments, "--folder", str(folder), "--json", str(kept)]) == 0

    text = capsys.readouterr().out
    assert "Generations: normal, 2 threads" in text
    assert "This takes about" in text
    (heat,) = json.loads(kept.read_bytes())["heats"]
    assert [run["contestant"] for run in heat["runs"]] == ["sqlite3", "sessionstore", "sqlite3", "orm", "sqlite3"]
    for run in heat["runs"]:
        assert (run["lost"], run["refused"]) == (0, 0)
        assert run["count"] > 0
        assert set(run["times"]) == {"create", "status", "progress", "scene", "read", "write"}
        assert min(run["rate"], run["cpu_ms"], run["bytes_a_session"], run["fdatasync_us"]) > 0
    assert list(folder.iterdir()) == []

    assert main(["--from", str(kept)]) == 0
    assert capsys.readouterr().out.strip() in text


def test_processes_that_share_one_session_lose_nothing(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "found.json"
    arguments = ["--shared", "--workers", "2p", "--durability", "normal", "--only", "sessionstore", *TINY]

    assert main([*arguments, "--folder", str(folder), "--json", str(kept)]) == 0

    (heat,) = RESULTS.validate_json(kept.read_bytes()).heats
    (run,) = heat.of(STORE.name)
    assert (run.count, run.lost, run.refused) == (2 * 2 * 50, 0, 0)


def test_a_write_that_this_store_lost_ends_the_benchmark_with_a_sentence_and_status_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.options.CORE", (FORGETFUL,))

    assert main(["--durability", "normal", "--workers", "1t", "--folder", str(folder), *TINY]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: sessionstore lost ")
    assert line.endswith("scene 3 is not there")


@pytest.mark.parametrize("name", ["sqlite3", "sqlite3-ordered", "sessionstore", "orm"])
def test_verification_finds_each_kind_of_loss(name: str, tmp_path: Path) -> None:
    entry = ENTRIES[name]
    store = entry.load()(tmp_path / "sessions.db", "normal")
    saved = run_generation(store, Notes())
    store.close()
    assert saved is not None
    assert saved[1:] == ("completed", SCENES, [1, 2, 3, 4, 5])

    def losses(claim: Acknowledged) -> verification.Losses:
        return verification.look_for(entry, tmp_path / "sessions.db", "normal", [claim])

    assert losses(saved) == (0, None)
    assert losses(saved._replace(scenes=[1, 2, 3, 4, 5, 6])).lost == 1
    assert losses(saved._replace(status="failed")).lost == 1
    assert losses(saved._replace(step=6)).lost == 1
    assert losses(saved._replace(status=None, step=None)).lost == 0
    # Its creation, its status, its step and five scenes.
    assert losses(saved._replace(session_id="018f0000-0000-7000-8000-000000000000")).lost == 8


def test_a_ratio_is_to_the_mean_of_the_baseline_just_before_and_just_after() -> None:
    runs = [("base", 100.0), ("a", 90.0), ("base", 200.0), ("b", 500.0), ("base", 300.0), ("a", 60.0)]

    def ratios(name: str) -> list[float]:
        return to_neighbours(runs, lambda run: run[0] == name, lambda run: run[0] == "base", lambda run: run[1])

    # The last one has no neighbour behind it.
    assert ratios("a") == [90 / 150, 60 / 300]
    assert ratios("b") == [500 / 250]
    assert spread(ratios("a")) == Spread((0.6 + 0.2) / 2, 0.2, 0.6)
    assert spread([]) is None


def test_the_baseline_runs_before_and_after_each_contestant_and_once_between_two() -> None:
    plan = Plan("generations", "full", Workers(1, 1), CORE[:2], rounds=2, seconds=1)

    names = [entry.name for entry in plan.order()]
    once = [BASELINE.name, CORE[0].name, BASELINE.name, CORE[1].name]
    assert names == [*once, *once, BASELINE.name]


def test_times_are_times_that_were_measured() -> None:
    assert Times.of(range(1000, 101_000, 1000)) == Times(50, 99, 100)
    assert Times.of([7000]) == Times(7, 7, 7)


def test_a_bare_run_measures_what_the_figures_need() -> None:
    planned = [(plan.workload, plan.durability, str(plan.workers)) for plan in plans(parse([]))]

    assert planned == [
        *(("generations", durability, workers) for durability in ("full", "normal") for workers in ("1t", "8t", "4p")),
        ("generations", "full", "32t"),
        ("reads", "normal", "1t"),
        ("shared", "full", "8t"),
        ("shared", "full", "4p"),
    ]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    found = figures(Results("2026-01-01T00:00:00+00:00", {}, {}))

    assert len(found) == 14
    assert {figure.is_met for figure in found} == {None}


def test_a_filled_store_is_looked_at_and_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (filling, constant_costs, cleanup, verification):
        monkeypatch.setattr(module, "run_fresh", in_this_process)
    monkeypatch.setattr(constant_costs, "MOST_CALLS", 2)
    made = Filling(400, datetime.now(UTC) - filling.SPREAD)

    templates = filling.fill(made, tmp_path)
    assert list(templates) == [STORE.name, BASELINE.name]
    costs = constant_costs.measure_costs(templates[STORE.name], made)
    assert [cost.calls for cost in costs] == [2] * 7

    templates[BASELINE.name].unlink()
    found = cleanup.measure_cleanup(templates[STORE.name], made)
    # Half of 400, but for the four oldest, which made room for others.
    assert found.deleted == 196
    assert (found.lost, found.refused) == (0, 0)


def test_memory_is_measured_twice_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "run_fresh", in_this_process)

    found = memory.measure_memory(tmp_path, (2, 4))

    assert found.generations == (2, 4)
    assert min(found.resident_bytes) > 1_000_000


def test_claims_are_measured_in_a_small_and_a_large_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "run_fresh", in_this_process)
    monkeypatch.setattr(claims, "ROUNDS", 2)

    found = claims.measure_claims(tmp_path, (claims.CLAIMS, 2 * claims.CLAIMS))

    assert len(found.ratios()) == 2
    for pending in found.pending:
        with SessionManager(None, None, database_url=f"sqlite:///{tmp_path / f'claims-{pending}.db'}") as store:
            by_status = store.get_performance_stats()["status_breakdown"]
        assert (by_status["pending"], by_status["completed"]) == (pending, 2 * claims.CLAIMS)


def test_each_report_that_takes_too_long_is_named() -> None:
    def cost(report: str, day_ms: float, all_ms: float) -> ReportCost:
        return ReportCost(report, 1, Cost(report, 2, day_ms, day_ms), 1, Cost(report, 2, all_ms, all_ms))

    pace = Pace(1.0, Times(1, 2, 3), 0)
    costs = [cost("daily", 101, 5), cost("hourly", 102, 6), cost("scenes", 3, 7)]
    results = Results("2026-01-01T00:00:00+00:00", {}, {})
    results.reports = Reports(400, 1.0, costs, [BesideReports(pace, pace, pace)])

    of_a_day, of_everything, *beside = figures(results)[-4:]

    assert (of_a_day.found, of_a_day.is_met) == ("daily 101 ms, hourly 102 ms", False)
    assert (of_everything.found, of_everything.is_met) == ("scenes 7 ms", True)
    assert [figure.is_met for figure in beside] == [True, True]


def test_a_history_is_half_gone_and_in_the_order_of_time(tmp_path: Path) -> None:
    made = history.history_until_now(400)
    moments = [moment for batch in made.batches() for moment, _ in made.moments(batch)]

    history._make(made, tmp_path / "sessions.db")

    assert moments == sorted(moments)
    assert made.begun_at <= moments[0] < moments[-1] < made.ends_at()
    with SessionManager(None, None, database_url=f"sqlite:///{tmp_path / 'sessions.db'}") as store:
        assert 190 <= store.get_session_count() <= 210
        assert sum(row[2] for row in store.report("daily").rows) == 400
        assert len(store.report("failures").rows) > 0
        assert all(finding.severity != "error" for finding in store.check())


def test_reports_are_measured_alone_and_beside_writers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (history, reports):
        monkeypatch.setattr(module, "run_fresh", in_this_process)
    monkeypatch.setattr(beside_reports, "run_fresh", in_threads)
    monkeypatch.setattr(beside_reports, "ROUNDS", 1)
    monkeypatch.setattr(beside_reports, "SECONDS", 0.05)
    monkeypatch.setattr(constant_costs, "MOST_CALLS", 2)
    kept = tmp_path / "found.json"

    assert main(["--reports", "400", "--folder", str(folder), "--json", str(kept)]) == 0

    text = capsys.readouterr().out
    results = RESULTS.validate_json(kept.read_bytes())
    found = results.reports
    assert found is not None
    rows = {each.report: (each.day_rows, each.all_rows) for each in found.costs}
    assert rows["sessions"][1] == 400
    assert rows["daily"][0] == 3
    assert rows["daily"] == rows["daily, plain SQL"]
    assert min(rows[f"timeline, {what}"][0] for what in ("gone", "living")) > 0
    (once,) = found.rounds
    for pace in (once.alone, once.beside_thread, once.beside_process):
        assert (pace.rate > 0, pace.refused) == (True, 0)
    assert [figure.is_met for figure in results.figures[-4:]].count(None) == 0

    assert main(["--from", str(kept)]) == 0
    assert capsys.readouterr().out.strip() in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["surplus"],
        ["--durability", "half"],
        ["--workers", "8x"],
        ["--workers", "0t"],
        ["--rounds", "0"],
        ["--seconds", "nan"],
        ["--only", "nobody"],
        ["--sessions", "1"],
        ["--sessions", "1000", "--peers"],
        ["--memory", "5"],
        ["--claims", "5", "100"],
        ["--reports", "1"],
        ["--folder", "nowhere"],
        ["--json", "nowhere/found.json"],
        ["--picture", "picture.bmp"],
        ["--from", "nothing.json"],
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_with_status_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: ")


def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.options.find_spec", lambda name: None)

    with pytest.raises(SystemExit) as ended:
        parse(["--picture", str(tmp_path / "picture.svg")])

    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "matplotlib is not installed; to install: " in line


def test_columns_line_up_and_long_lines_stay_whole() -> None:
    assert aligned([["", "a"], ["x" * 300, "10"]]) == f"{' ' * 300}   a\n{'x' * 300}  10"
