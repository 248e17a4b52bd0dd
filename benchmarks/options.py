"""What can be chosen on the command line, and what is refused before anything is measured."""

import argparse
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from benchmarks.claims import CLAIMS as FEWEST_CLAIMS
from benchmarks.contestants import BASELINE, CORE, ENTRIES, PEERS, Entry
from benchmarks.filling import FEWEST_SESSIONS
from benchmarks.installing import how_to_install
from benchmarks.workers import Workers

N = TypeVar("N", int, float)

LEFT_OUT_WHEN_QUICK = {"sqlite3-ordered"}
DURABILITIES = ("full", "normal")
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
DEFAULT_MEMORY_GENERATIONS = (10_000, 100_000)
DEFAULT_PENDING_SESSIONS = (100, 100_000)
DEFAULT_REPORTED_SESSIONS = 1_000_000

DESCRIPTION = """\
One generation is 13 acknowledged writes and 5 reads. Each contestant's rate is divided by the mean of the hand-written
sqlite3 run just before and just after it, at the same durability and with the same workers; shown are medians over the
rounds. Afterwards a fresh process looks for every acknowledged write.

Without options: full durability with 1, 8 and 32 threads (the latter this store alone) and 4 processes; normal
without the 32; then this store alone with nothing but reads, and with all workers on one session. With --shared,
--read-cost, --memory, --claims, --reports or --sessions only what they name."""


class Options(argparse.Namespace):
    """The options, as they were given."""

    quick: bool
    durability: list[str] | None
    workers: list[Workers] | None
    rounds: int
    seconds: float
    only: list[str] | None
    peers: bool
    shared: bool
    read_cost: bool
    memory: list[int] | None
    claims: list[int] | None
    reports: int | None
    sessions: int | None
    folder: Path
    json: Path | None
    picture: Path | None
    again: Path | None

    def is_bare(self) -> bool:
        """Whether no part was chosen."""
        parts = (self.memory, self.claims, self.reports, self.sessions)
        return not (self.shared or self.read_cost or any(part is not None for part in parts))

    def chosen(self) -> dict[str, Any]:
        """What was measured with, for the record; not where."""
        left_out = {"folder", "json", "picture", "again"}
        workers = None if self.workers is None else [str(each) for each in self.workers]
        return {name: value for name, value in vars(self).items() if name not in left_out} | {"workers": workers}

    def entries(self) -> tuple[Entry, ...]:
        """The contestants beside the baseline, this store first."""
        if self.only is not None:
            return tuple(entry for name, entry in ENTRIES.items() if name in self.only)
        core = tuple(entry for entry in CORE if not (self.quick and entry.name in LEFT_OUT_WHEN_QUICK))
        return core + tuple(entry for entry in PEERS if self.peers and entry.is_installed())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and status 2; argparse itself would print the usage too."""
        self.exit(2, f"bench: {message}; ./run bench --help lists what can be chosen\n")


def parse(arguments: list[str] | None = None) -> Options:
    """The options.

    Raises:
        SystemExit: with status 2 after a line on standard error, for what cannot be done.
    """
    parser = _parser()
    options = parser.parse_args(arguments, namespace=Options())
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.seconds is None:
        options.seconds = 0.4 if options.quick else 0.8
    for complaint in (_memory_complaint, _claims_complaint, _only_complaint, _folder_complaint, _picture_complaint):
        if sentence := complaint(options):
            parser.exit(2, f"bench: {sentence}\n")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "./run bench", description=DESCRIPTION, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for name in ENTRIES if name != BASELINE.name]
    what = parser.add_argument_group("what is measured")
    what.add_argument("--quick", action="store_true", help="one short round at full; under half a minute")
    what.add_argument("--durability", nargs="+", choices=DURABILITIES, help="default: both")
    what.add_argument(
        "--workers",
        nargs="+",
        type=_workers,
        metavar="N",
        help="like 8t (threads) or 4p (processes); default: 1t 8t 4p",
    )
    what.add_argument("--rounds", type=_at_least(1, int), metavar="N", help="default: 3")
    what.add_argument("--seconds", type=_at_least(0.01, float), metavar="S", help="of each run; default: 0.8")
    what.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    what.add_argument("--peers", action="store_true", help="also the peers that are installed")
    parts = parser.add_argument_group("other parts")
    parts.add_argument("--shared", action="store_true", help="all workers add scenes to one session")
    parts.add_argument("--read-cost", action="store_true", help="nothing but full reads, one thread")
    parts.add_argument(
        "--memory",
        nargs="*",
        type=_at_least(1, int),
        metavar="N",
        help="memory of one process after two numbers of generations; default: 10000 100000",
    )
    parts.add_argument(
        "--claims",
        nargs="*",
        type=_at_least(FEWEST_CLAIMS, int),
        metavar="N",
        help="claiming with two numbers of pending sessions; default: 100 100000",
    )
    parts.add_argument(
        "--reports",
        nargs="?",
        const=DEFAULT_REPORTED_SESSIONS,
        type=_at_least(FEWEST_SESSIONS, int),
        metavar="N",
        help="reports on a month with so many sessions, and writers beside them; default: 1000000",
    )
    parts.add_argument(
        "--sessions",
        type=_at_least(FEWEST_SESSIONS, int),
        metavar="N",
        help="fill this store and sqlite3 with so many sessions first; also measures what must not grow with them",
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--folder", type=Path, default=Path(), metavar="DIR", help="databases are made in there; default: here"
    )
    where.add_argument("--json", type=Path, metavar="FILE", help="writes everything that was found")
    where.add_argument("--picture", type=Path, metavar="FILE", help="draws the ratios; .svg, .png or .pdf")
    where.add_argument(
        "--from", dest="again", type=Path, metavar="FILE", help="measures nothing; shows what --json wrote"
    )
    return parser


def _workers(text: str) -> Workers:
    try:
        return Workers.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _at_least(least: N, kind: type[N]) -> Callable[[str], N]:
    def convert(text: str) -> N:
        try:
            number = kind(text)
        except ValueError:
            number = kind(-1)
        if not least <= number < float("inf"):
            raise argparse.ArgumentTypeError(f"must be a number from {least} up, not {text!r}")
        return number

    return convert


def _memory_complaint(options: Options) -> str | None:
    if options.memory == []:
        options.memory = list(DEFAULT_MEMORY_GENERATIONS)
    return _pair_complaint("memory", options.memory, "generations")


def _claims_complaint(options: Options) -> str | None:
    if options.claims == []:
        options.claims = list(DEFAULT_PENDING_SESSIONS)
    return _pair_complaint("claims", options.claims, "pending sessions")


def _pair_complaint(option: str, given: list[int] | None, what: str) -> str | None:
    if given is None or (len(given) == 2 and given[0] < given[1]):
        return None
    return f"argument --{option}: give two numbers of {what}, the smaller one first, or none"


def _only_complaint(options: Options) -> str | None:
    if options.sessions is not None and (options.only or options.peers):
        return "argument --sessions: only sessionstore and sqlite3 can be filled; leave --only and --peers out"
    missing = [entry for entry in options.entries() if not entry.is_installed()]
    return f"{missing[0].label} is not installed; {how_to_install('peers')}" if missing else None


def _folder_complaint(options: Options) -> str | None:
    for option, path in (("folder", options.folder), ("json", options.json), ("picture", options.picture)):
        folder = path if option == "folder" else path and path.parent
        if folder is not None and not folder.is_dir():
            return f"argument --{option}: there is no folder {folder}"
        if folder is not None and not os.access(folder, os.W_OK):
            return f"argument --{option}: nothing can be written into {folder}"
    if options.again is not None and not options.again.is_file():
        return f"argument --from: there is no file {options.again}"
    return None


def _picture_complaint(options: Options) -> str | None:
    if options.picture is None:
        return None
    if options.picture.suffix not in PICTURE_SUFFIXES:
        return f"argument --picture: the name must end in {', '.join(PICTURE_SUFFIXES)}"
    if not options.is_bare():
        return "argument --picture: it shows the generations; leave the other parts out"
    if find_spec("matplotlib") is None:
        return f"argument --picture: matplotlib is not installed; {how_to_install('bench')}"
    return None
