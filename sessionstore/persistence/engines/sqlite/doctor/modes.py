"""Which SQLite runs, and whether it does what it was told on each connection."""

from collections.abc import Iterator

from sessionstore.models import Finding
from sessionstore.persistence.engines.sqlite.connections import pragma
from sessionstore.persistence.engines.sqlite.library import Library, sqlite3

SYNCHRONOUS = {"full": 2, "normal": 1}


def library(running: Library) -> Iterator[Finding]:
    if not running.loses_commits:
        yield Finding(check="sqlite_library", severity="ok", message=f"{running} runs")
        return
    yield Finding(
        check="sqlite_library",
        severity="warning",
        message=f"{running} can lose commits when one connection checkpoints while another commits; this store never "
        "lets its own connections do so, in however many processes, but another program that writes to the file with "
        "such a library can lose acknowledged writes",
        remedy="write through sessionstore only, and install a newer library: pip install 'sessionstore[sqlite]'",
    )


def journal_mode(connection: sqlite3.Connection) -> Iterator[Finding]:
    mode = pragma(connection, "journal_mode")
    if mode == "wal":
        yield Finding(check="journal_mode", severity="ok", message="write-ahead logging is on")
    else:
        yield Finding(
            check="journal_mode",
            severity="error",
            message=f"the journal mode is {mode}, not wal",
            remedy="put the database on a local disk; network and shared folders cannot do it",
        )


def synchronous(connection: sqlite3.Connection, durability: str) -> Iterator[Finding]:
    """Whether commits are synced as the setting says."""
    wanted, found = SYNCHRONOUS[durability], pragma(connection, "synchronous")
    if found == wanted:
        yield Finding(check="durability", severity="ok", message=f"commits are synced as durability={durability} says")
    else:
        yield Finding(
            check="durability",
            severity="error",
            message=f"SQLite's synchronous is {found}, not {wanted} as durability={durability} needs: a power cut may "
            "lose or damage what was acknowledged",
            remedy="use an SQLite library that was not built to ignore PRAGMA synchronous",
        )
