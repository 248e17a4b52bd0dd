"""Reading sessions to see whether they still can be read."""

from collections.abc import Iterator
from functools import partial

from sessionstore.errors import DatabaseUnavailableError, SessionCorruptedError
from sessionstore.models import Finding
from sessionstore.operations.store import Store
from sessionstore.persistence.unit import UnitOfWork

# Read in one snapshot: some 20 ms, so that the WAL is never held up for longer.
BATCH_SESSIONS = 200
# Of these damage would be missed first.
NEWEST_SESSIONS = 1000
# So many ids are named.
MAX_NAMED = 3


def examine_rows(store: Store, *, reads_all: bool) -> list[Finding]:
    """Whether all sessions, or the newest, can be decoded with the models of this store."""
    count, damaged, unfit = 0, list[str](), list[str]()
    try:
        for ids in _batches(store, reads_all=reads_all):
            for error in store.engine.read(lambda unit, ids=ids: _unreadable(unit, ids)):  # type: ignore[misc]
                (unfit if error.is_unfit else damaged).append(f"{error.session_id} ({error.where})")
            count += len(ids)
    except DatabaseUnavailableError as error:
        return [Finding.unreadable("rows", error)]
    return list(_findings(count, damaged, unfit))


def _batches(store: Store, *, reads_all: bool) -> Iterator[list[str]]:
    if not reads_all:
        yield store.engine.read(lambda unit: unit.examination.newest_ids(NEWEST_SESSIONS))
        return
    ids = [""]
    while ids := store.engine.read(partial(_ids_after, session_id=ids[-1])):
        yield ids


def _ids_after(unit: UnitOfWork, session_id: str) -> list[str]:
    return unit.examination.ids_after(session_id, BATCH_SESSIONS)


def _unreadable(unit: UnitOfWork, ids: list[str]) -> list[SessionCorruptedError]:
    errors = []
    for session_id in ids:
        try:
            unit.sessions.get(session_id)
        except SessionCorruptedError as error:
            errors.append(error)
    return errors


def _findings(count: int, damaged: list[str], unfit: list[str]) -> Iterator[Finding]:
    if damaged:
        yield Finding(
            check="rows",
            severity="error",
            message=f"{len(damaged)} of {count} sessions are damaged: {_named(damaged)}",
            remedy="restore a backup, or reset each with recover_corrupted_session(ID), which keeps what is still good",
        )
    if unfit:
        yield Finding(
            check="rows",
            severity="warning",
            message=f"{len(unfit)} of {count} sessions do not fit the models they were read with: {_named(unfit)}",
            remedy="check with the models that wrote them (--request-model, --scene-model); with these, "
            "recover_corrupted_session(ID) resets one and keeps what is still good",
        )
    if not damaged and not unfit:
        yield Finding(check="rows", severity="ok", message=f"{count} sessions were read, with all their scenes")


def _named(found: list[str]) -> str:
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return ", ".join(found[:MAX_NAMED]) + more
