"""Mending what can be mended without losing anything, and looking again."""

from sessionstore.errors import DatabaseUnavailableError, SessionManagerError
from sessionstore.models import Finding
from sessionstore.operations.checking import check, counting_problems
from sessionstore.operations.store import Store
from sessionstore.persistence.engines.base import Repair
from sessionstore.persistence.unit import UnitOfWork

# Signed in one transaction: some 20 ms, so that writers are never held up longer.
BATCH_ROWS = 1000


def repair(store: Store) -> list[Finding]:
    """What `check` finds afterwards, reading everything; findings that were mended say how.

    Raises:
        SessionManagerError: inside a transaction of the calling thread.
    """
    if store.engine.is_inside_transaction():
        raise SessionManagerError("repair() was called inside a transaction of the same thread; end that first")
    done = store.engine.repair()
    for mend in (_mended_counts, _signed_rows):
        try:
            done += mend(store)
        except DatabaseUnavailableError as error:
            # What cannot be read cannot be mended; the findings say that it cannot.
            if not error.is_damaged:
                raise
    sentences = {name: "; ".join(what for check, what in done if check == name) for name, _ in done}
    return [
        finding.model_copy(update={"repaired": sentences.get(finding.check)}) for finding in check(store, deep=True)
    ]


def _mended_counts(store: Store) -> list[Repair]:
    # Writers wait while sessions are counted, which need not be when nothing is wrong.
    return store.engine.write_alone(_count_anew) if store.engine.read(counting_problems) else []


def _count_anew(unit: UnitOfWork) -> list[Repair]:
    problems = counting_problems(unit)
    unit.recounting.count_anew()
    return [("counts", f"{problem}: counted anew") for problem in problems]


def _signed_rows(store: Store) -> list[Repair]:
    signed = 0
    while more := store.engine.write_alone(lambda unit: unit.soundness.sign_unchecked(BATCH_ROWS)):
        signed += more
    return [("checksums", f"{signed} rows were signed as they stand")] if signed else []
