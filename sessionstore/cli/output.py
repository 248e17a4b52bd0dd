"""How answers are printed: tables for people, tab-separated lines for programs, JSON for both."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

EXTRA_IS_MISSING = 3

# What would end a value on a line.
_SEPARATORS = {ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
# What has a terminal show text in another order than it is written in, or on another line.
_TURNS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
# What a terminal would take for orders; texts of strangers are printed, and what is on a pipe is often looked at too.
_CONTROLS = (
    {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
    | {code: f"\\u{code:04x}" for code in _TURNS}
    | _SEPARATORS
)
_ESCAPES = _CONTROLS | {ord("\\"): "\\\\"}
# Of these JSON says nothing, and what it says of the others is written already.
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *_TURNS)}


def is_for_people() -> bool:
    """Whether somebody looks at the output as it comes."""
    return sys.stdout.isatty()


def console() -> Console:
    """Standard output with colours, without guessing what numbers in it mean."""
    return Console(highlight=False)


def say(message: str) -> None:
    """A sentence beside the answer: on standard error, so that pipes carry answers only."""
    print(_readable_lines(message), file=sys.stderr)


def extra_is_missing(need: str, extra: str) -> typer.Exit:
    """Says what to install; the end of the command, to be raised."""
    say(f"sessionstore: {need}, from the extra {extra}: pip install 'sessionstore[{extra}]'")
    return typer.Exit(EXTRA_IS_MISSING)


def print_json(value: Any) -> None:
    print(to_json(value, indent=2).decode().translate(_JSON_ESCAPES))


def print_tsv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """One line a row, every value whole; what is no character to be seen is escaped, and so is the backslash."""
    print(plain_line(columns))
    for row in rows:
        print(plain_line(row))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """As RFC 4180 has it: lines end in CR LF, and a value that holds one is quoted. On a terminal as `readable`."""
    show = readable if is_for_people() else _plain
    lines = csv.writer(sys.stdout)
    lines.writerow(columns)
    lines.writerows([show(value) for value in row] for row in rows)


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None, *, keeps_lines: bool = False
) -> None:
    """Rows under column names. Not on a terminal: tab-separated, every value whole, one line each.

    `keeps_lines` shows people the lines of a text as lines.
    """
    if not is_for_people():
        print_tsv(columns, rows)
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        # An id that is cut is of no use: it is there to be typed.
        table.add_column(column, no_wrap=column.endswith("_id"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_readable_lines(value) if keeps_lines else readable(value)) for value in row))
    console().print(table)


def plain_line(values: Iterable[Any]) -> str:
    """Values for programs: tab-separated, each whole."""
    return "\t".join(_plain(value).translate(_ESCAPES) for value in values)


def readable(value: Any) -> str:
    """A value for people, on one line; of what a terminal would take for orders its code."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else _plain(value).translate(_CONTROLS)


def _readable_lines(value: Any) -> str:
    return "\n".join(map(readable, value.splitlines())) if isinstance(value, str) else readable(value)


def readable_line(text: str) -> Text:
    """As `readable`, for rich, which finds no markup in it."""
    return Text(readable(text))


def print_facts(facts: Mapping[str, Any], title: str | None = None) -> None:
    """Names and values; a nested mapping becomes lines with dotted names."""
    print_rows(["name", "value"], _flattened(facts), title, keeps_lines=True)


def _flattened(facts: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat(" ", "milliseconds")[:23] if isinstance(value, datetime) else str(value)
