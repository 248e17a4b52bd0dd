"""The doctor: what the engine finds in its file, and whether the store's own accounts add up."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.models import Finding
from sessionstore.operations.damaged_rows import examine_rows
from sessionstore.operations.store import Store
from sessionstore.persistence.unit import UnitOfWork

# Up to here reading everything takes about a second, so it is always done.
SMALL_STORE_BYTES = 64 * 1024 * 1024
FOREIGN_HAND = "another program wrote to the tables, or damaged rows are gone; compare with a backup"
# Clocks of machines that keep time differ by less.
CLOCK_TOLERANCE = timedelta(minutes=1)
# So many rows are named.
MAX_NAMED = 3


def check(store: Store, *, deep: bool) -> list[Finding]:
    """All findings, in a fixed order; a part that cannot be read is a finding too."""
    size = sum(store.engine.storage_bytes().values())
    reads_all = deep or size <= SMALL_STORE_BYTES
    findings = store.engine.check(reads_all=reads_all)
    questions: dict[str, Callable[[UnitOfWork], Iterator[Finding]]] = {"clock": _clock}
    if reads_all:
        questions |= {"audit": _audit, "counts": _counts, "checksums": _checksums}
    for name, examine in questions.items():
        try:
            findings += store.engine.read(lambda unit, examine=examine: list(examine(unit)))  # type: ignore[misc]
        except (DatabaseUnavailableError, ValueError) as error:
            findings.append(Finding.unreadable(name, error))
    findings += examine_rows(store, reads_all=reads_all)
    findings.append(_depth(size, reads_all=reads_all))
    return findings


def _depth(size: int, *, reads_all: bool) -> Finding:
    megabytes = f"{size / 1024 / 1024:,.1f} MB"
    if reads_all:
        return Finding(check="depth", severity="ok", message=f"all of its {megabytes} were read")
    return Finding(
        check="depth",
        severity="ok",
        message=f"it has {megabytes}, of which only the newest sessions were read: nothing is said of the other pages "
        "and rows, nor whether counts are right",
        remedy="`sessionstore check --deep` reads everything",
    )


def _clock(unit: UnitOfWork) -> Iterator[Finding]:
    """Whether the time is behind what was written already: ages, leases and expiry would count wrong."""
    newest = unit.examination.newest_instant()
    if newest is None or newest <= unit.now + CLOCK_TOLERANCE:
        yield Finding(check="clock", severity="ok", message="nothing is newer than now")
        return
    yield Finding(
        check="clock",
        severity="warning",
        message=f"the newest row is of {newest:%Y-%m-%d %H:%M:%S} UTC, and now it is {unit.now:%Y-%m-%d %H:%M:%S}: "
        "ages, leases and expiry count from a time that has not come",
        remedy="set the clock of this machine, or of that which wrote the row; run a time service on each",
    )


def _audit(unit: UnitOfWork) -> Iterator[Finding]:
    """Whether everything ever created is alive, in a tombstone, or in the totals of pruned ones."""
    census = unit.audit.census()
    wrong = [day for day, each in census.items() if not each.adds_up()]
    if wrong:
        each = census[wrong[0]]
        yield Finding(
            check="audit",
            severity="error",
            message=f"sessions of {len(wrong)} days do not add up; first {wrong[0]}: {each.created} created, but "
            f"{each.living} living + {each.buried} tombstones + {each.forgotten} in totals",
            remedy=FOREIGN_HAND,
        )
        return
    created, living, buried, forgotten = (
        sum(getattr(each, name) for each in census.values()) for name in ("created", "living", "buried", "forgotten")
    )
    yield Finding(
        check="audit",
        severity="ok",
        message=f"{created} sessions created = {living} living + {buried} tombstones + {forgotten} in totals",
    )


def _counts(unit: UnitOfWork) -> Iterator[Finding]:
    """Whether the counts that writes keep are those of the rows."""
    problems, sessions = counting_problems(unit), unit.recounting.miscounted_sessions()
    if problems:
        remedy = "another program wrote to the tables; `sessionstore check --repair` counts them anew"
        yield Finding(check="counts", severity="error", message="; ".join(problems), remedy=remedy)
    if sessions:
        message = (
            f"scenes_done is wrong for {len(sessions)} sessions, so scenes are missing or another program added some"
        )
        remedy = "restore a backup, or reset each with recover_corrupted_session(ID), which counts what is there"
        yield Finding(check="counts", severity="error", message=message, remedy=remedy)
    if not problems and not sessions:
        yield Finding(check="counts", severity="ok", message="kept counts are those of the rows")


def _checksums(unit: UnitOfWork) -> Iterator[Finding]:
    """Whether every row is what was signed, also of those sessions that are gone."""
    damaged = [f"{each.what} of {each.table} {each.key}" for each in unit.soundness.damaged_rows()]
    if damaged:
        more = f" and {len(damaged) - MAX_NAMED} more" if len(damaged) > MAX_NAMED else ""
        yield Finding(
            check="checksums",
            severity="error",
            message=f"{len(damaged)} rows do not match their checksums: {', '.join(damaged[:MAX_NAMED])}{more}",
            remedy="restore a backup, or reset sessions with recover_corrupted_session(ID), which keeps what is good",
        )
        return
    unchecked = unit.soundness.count_unchecked()
    yield Finding(
        check="checksums",
        severity="ok",
        message="every row is what was signed" + (f", but for {unchecked} that have no checksum" if unchecked else ""),
        remedy="`sessionstore check --repair` signs them as they stand" if unchecked else None,
    )


def counting_problems(unit: UnitOfWork) -> list[str]:
    """Which kept counts are wrong."""
    problems = []
    if miscounted := unit.recounting.miscounted():
        more = f" and {len(miscounted) - 5} more" if len(miscounted) > 5 else ""
        problems.append(f"session_counts is wrong for {', '.join(miscounted[:5])}{more}")
    return problems
