"""Figures and verdicts in words, for the terminal and for the page."""

import shlex

from sessionstore.verification.verdicts import MEGABYTE, Figure, Result, ScenarioName, Verdict, Verification


def readable_figures(result: Result) -> list[tuple[str, str]]:
    """Names without their unit, values with it."""
    return [_readable(name, value) for name, value in result.figures.items()]


def _readable(name: str, value: Figure) -> tuple[str, str]:
    label, _, unit = name.rpartition("_")
    words = label.replace("_", " ")
    if isinstance(value, str):
        return name.replace("_", " "), value
    if unit == "bytes":
        return f"{words} size", f"{value / MEGABYTE:,.1f} MB"
    if unit in {"ms", "seconds"}:
        return words, f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
    return name.replace("_", " "), f"{value:,}"


def headline(verification: Verification) -> str:
    """The one sentence that everybody reads."""
    found = [result.verdict for result in verification.results]
    told = [f"{found.count(verdict)} {verdict}" for verdict in Verdict if verdict in found]
    if verification.verdict is not Verdict.HELD:
        return f"{', '.join(told)}."
    return f"Everything that was tried held: {', '.join(told)}." if len(told) > 1 else "Everything held."


def command(verification: Verification) -> str:
    """What to type to try the same again."""
    names = [result.scenario for result in verification.results]
    chosen = [] if names == list(ScenarioName) else [part for name in names for part in ("--scenario", name)]
    return shlex.join(
        [
            *("sessionstore", "verify", verification.database_url),
            *("--seconds", f"{verification.budget_seconds:g}"),
            *("--max-megabytes", str(verification.max_bytes // MEGABYTE)),
            *("--durability", verification.durability),
            *chosen,
        ]
    )
