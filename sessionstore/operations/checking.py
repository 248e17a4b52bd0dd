"""The doctor: what the engine finds in its file, and whether the store's own accounts add up."""

from collections.abc import Iterator

from sessionstore.errors import DatabaseUnavailableError
from sessionstore.models import Finding
from sessionstore.operations.store import Store
from sessionstore.persistence.unit import UnitOfWork

FOREIGN_HAND = "another program wrote to the tables, or damaged rows are gone; compare with a backup"


def check(store: Store) -> list[Finding]:
    """All findings, in a fixed order. Reads the whole database; a part that cannot be read is a finding too."""
    findings = store.engine.check()
    for name, examine in (("audit", _audit), ("counts", _counts)):
        try:
            findings += store.engine.read(lambda unit, examine=examine: list(examine(unit)))  # type: ignore[misc]
        except DatabaseUnavailableError as error:
            findings.append(Finding.unreadable(name, error))
    return findings


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
    problems = []
    if statuses := unit.audit.miscounted_statuses():
        problems.append(f"session_counts is wrong for {', '.join(statuses)}")
    if sessions := unit.audit.count_miscounted_scenes():
        problems.append(f"scenes_done is wrong for {sessions} sessions")
    if problems:
        yield Finding(check="counts", severity="error", message="; ".join(problems), remedy=FOREIGN_HAND)
    else:
        yield Finding(check="counts", severity="ok", message="kept counts are those of the rows")
