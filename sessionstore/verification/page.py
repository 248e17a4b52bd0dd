"""The page that a verification is passed on as: one HTML file, without scripts, for screens, telephones and paper."""

from collections.abc import Iterable
from html import escape

from sessionstore.verification.verdicts import MEGABYTE, Result, Verdict, Verification
from sessionstore.verification.wording import command, headline, readable_figures

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; }
th, td { border: 1px solid #c8c8c8; padding: .35rem .6rem; text-align: left; vertical-align: top; }
th { font-weight: 600; }
thead th { background: #f0f0f0; }
td { overflow-wrap: anywhere; }
table.results td:first-child { font-weight: 600; white-space: nowrap; }
td.number { text-align: right; }
table.figures { width: auto; min-width: 20rem; }
.verdict { font-weight: 700; white-space: nowrap; }
.held { color: #14632b; }
.did-not-hold { color: #a8071a; }
.not-tried { color: #7a5200; }
pre { background: #f0f0f0; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  table.figures { min-width: 0; width: 100%; }
  table.results thead { display: none; }
  table.results tr { display: block; border: 1px solid #c8c8c8; margin: 0 0 1rem; }
  table.results td { display: block; border: 0; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; }
  tr, table.figures { break-inside: avoid; }
}
"""
_LIMITS = (
    "This ran for a bounded time on one day: it can show that a promise does not hold, and never prove that it does. "
    "A power cut cannot be tried from here: whether the disk keeps what it says it has written is a matter of its "
    "hardware. The database named below was neither opened nor changed: all was done in a folder beside it, now gone."
)


def render(verification: Verification) -> str:
    """The whole page. Every text in it is escaped."""
    title = f"sessionstore verify: {verification.verdict}"
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
            "<p>sessionstore verify</p>\n",
            f'<h1 class="{_class(verification.verdict)}">{escape(headline(verification))}</h1>\n',
            f"<p>{escape(_LIMITS)}</p>\n",
            _facts(verification),
            _results(verification.results),
            *map(_details, verification.results),
            "<h2>What the doctor says of a new database there</h2>\n",
            _table("doctor", ["check", "severity", "message"], _findings(verification)),
            f"<h2>To try the same again</h2>\n<pre>{escape(command(verification))}</pre>\n",
            "</body>\n</html>\n",
        ]
    )


def _facts(verification: Verification) -> str:
    facts = {
        "database": verification.database_url,
        "folder": f"{verification.folder} ({verification.file_system})",
        "durability": verification.durability,
        "begun": f"{verification.begun_at:%Y-%m-%d %H:%M:%S} UTC",
        "took": f"{verification.seconds:g} of {verification.budget_seconds:g} seconds",
        "at most": f"{verification.max_bytes // MEGABYTE:,} MB",
        "machine": verification.machine,
        "sessionstore": verification.version,
    }
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n" for name, value in facts.items())
    return f'<table class="facts">\n{"".join(rows)}</table>\n'


def _results(results: Iterable[Result]) -> str:
    columns = ["scenario", "promise", "how often", "took", "result"]
    rows = [[each.scenario, each.promise, each.extent, f"{each.seconds:g} s", each.verdict] for each in results]
    return "<h2>What was promised, and what was found</h2>\n" + _table("results", columns, rows)


def _details(result: Result) -> str:
    reasons = "".join(f'<li class="{_class(result.verdict)}">{escape(reason)}</li>\n' for reason in result.reasons)
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in result.notes)
    figures = "".join(
        f'<tr><th>{escape(name)}</th><td class="number">{escape(value)}</td></tr>\n'
        for name, value in readable_figures(result)
    )
    return (
        f"<h2>{escape(result.scenario)}: {_marked(result.verdict)}</h2>\n"
        + (f"<ul>\n{reasons}{notes}</ul>\n" if reasons or notes else "")
        + f'<table class="figures">\n{figures}</table>\n'
    )


def _findings(verification: Verification) -> list[list[str]]:
    return [[finding.check, finding.severity, finding.message] for finding in verification.findings]


def _table(kind: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f'<table class="{kind}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n'


def _cell(value: str) -> str:
    return f"<td>{_marked(value) if isinstance(value, Verdict) else escape(value)}</td>"


def _marked(verdict: Verdict) -> str:
    return f'<span class="verdict {_class(verdict)}">{escape(verdict)}</span>'


def _class(verdict: Verdict) -> str:
    return verdict.replace(" ", "-")
