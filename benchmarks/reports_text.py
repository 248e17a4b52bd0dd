"""What reports take, and take from writers, as plain text for people."""

from collections.abc import Sequence
from statistics import median

from benchmarks.results import Cost, Pace, Reports
from benchmarks.text_table import aligned

WRITERS = {
    "alone": "alone",
    "beside_thread": "beside a thread that reports",
    "beside_process": "beside a process that reports",
}


def reports_text(reports: Reports) -> str:
    """The filling, each report's times, and how four writers fared beside them."""
    each_us = 1_000_000 * reports.filling_seconds / reports.sessions
    return "\n".join(
        [
            f"Reports on {reports.sessions:,} sessions of a month, half of them gone (made in {each_us:,.0f} µs each)",
            aligned(_costs(reports)),
            "",
            "Four writers, full; the worst of all rounds, the rest medians over the rounds; reports over everything",
            aligned(_writers(reports)),
            "",
        ]
    )


def _costs(reports: Reports) -> list[list[str]]:
    rows = [["", "a day: rows", "p50 ms", "max ms", "everything: rows", "p50 ms", "max ms"]]
    for each in reports.costs:
        rows.append([each.report, *_cells(each.day_rows, each.day), *_cells(each.all_rows, each.all)])
    return rows


def _cells(rows: int, cost: Cost | None) -> Sequence[str]:
    return ["-"] * 3 if cost is None else [f"{rows:,}", f"{cost.p50_ms:,.1f}", f"{cost.max_ms:,.1f}"]


def _writers(reports: Reports) -> list[list[str]]:
    rows = [["", "writes/s", "to alone", "p50 ms", "p99 ms", "to alone", "worst ms", "to alone", "refused"]]
    for name, label in WRITERS.items():
        paces: list[Pace] = [getattr(each, name) for each in reports.rounds]
        rows.append(
            [
                label,
                f"{median(pace.rate for pace in paces):,.0f}",
                f"{median(reports.ratios(name, lambda pace: pace.rate)):.2f}",
                f"{median(pace.writes.p50 for pace in paces) / 1000:.2f}",
                f"{median(pace.writes.p99 for pace in paces) / 1000:.2f}",
                f"{median(reports.ratios(name, lambda pace: pace.writes.p99)):.2f}",
                f"{max(pace.writes.maximum for pace in paces) / 1000:.1f}",
                f"{median(reports.ratios(name, lambda pace: pace.writes.maximum)):.2f}",
                str(sum(pace.refused for pace in paces)),
            ]
        )
    return rows
