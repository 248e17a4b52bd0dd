"""Choosing sessions by an index: those that are to go, and those that wait for a worker.

An index may be damaged where its table is not. So what it says of a session must be what the session says of itself;
one that is damaged is never chosen, and left to whoever mends it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, Text, bindparam, literal_column, select, tuple_, type_coerce

from sessionstore.models import GenerationStatus
from sessionstore.persistence.checksums import as_stored
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.session_rows import sessions, sound_states
from sessionstore.persistence.spared import IS_NOT_SPARED

logger = logging.getLogger(__name__)

_limit = bindparam("limit", type_=Integer())
_created_at = as_stored(sessions.created_at)
OLDEST_OF_STATUS = (
    select(sessions.session_id, sessions.status, _created_at)
    .where(sessions.status == bindparam("status"))
    .order_by(sessions.created_at, sessions.session_id)
    .limit(_limit)
)
OLDEST_EVICTABLE = OLDEST_OF_STATUS.where(IS_NOT_SPARED)
PENDING_AFTER = (
    select(sessions.session_id, sessions.version, _created_at)
    .where(
        sessions.status == literal_column(f"'{GenerationStatus.PENDING}'"),
        tuple_(type_coerce(sessions.created_at, Text()), sessions.session_id)
        > tuple_(bindparam("created", type_=Text()), bindparam("id")),
    )
    .order_by(sessions.created_at, sessions.session_id)
    .limit(_limit)
)


@cache
def _before(column: str) -> Select[Any]:
    instant = sessions[column]
    return (
        select(sessions.session_id, sessions.status, as_stored(instant))
        .where(sessions.status == bindparam("status"), instant < bindparam("moment"), IS_NOT_SPARED)
        .order_by(instant)
        .limit(_limit)
    )


class ChoiceRepository:
    """Ids of sessions, at most `limit`, oldest first."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def before(self, column: str, moment: datetime, status: GenerationStatus, limit: int) -> list[str]:
        """Those of one status whose `created_at` or `finished_at` lies before `moment`, but for spared ones."""
        parameters = {"status": status.value, "moment": moment}
        return self._sound(
            lambda limit: self._statements.rows(_before(column), {**parameters, "limit": limit}), column, limit
        )

    def evictable(self, statuses: Iterable[GenerationStatus], limit: int) -> list[str]:
        """The oldest, but for spared ones."""
        wanted = list(statuses)
        return self._sound(lambda limit: self._oldest(OLDEST_EVICTABLE, wanted, limit), "created_at", limit)

    def oldest(self, statuses: Iterable[GenerationStatus], limit: int) -> list[str]:
        """The oldest, damaged or not."""
        return [row.session_id for row in self._oldest(OLDEST_OF_STATUS, statuses, limit)]

    def pending_after(self, created_at: str, session_id: str, limit: int) -> list[Any]:
        """Rows of session_id, version and created_at beyond that key, as they stand there: nothing is verified yet."""
        return self._statements.rows(PENDING_AFTER, {"created": created_at, "id": session_id, "limit": limit})

    def _oldest(self, of_status: Select[Any], statuses: Iterable[GenerationStatus], limit: int) -> list[Any]:
        # Status by status, each from its end of the index: over all at once, SQLite would sort every session.
        oldest = [
            row
            for status in statuses
            for row in self._statements.rows(of_status, {"status": status.value, "limit": limit})
        ]
        return sorted(oldest, key=lambda row: (str(row.created_at), row.session_id))[:limit]

    def _sound(self, choose: Callable[[int], Sequence[Any]], column: str, limit: int) -> list[str]:
        """What `choose` finds, further on when there are damaged ones among them."""
        wanted = limit
        while True:
            chosen = choose(wanted)
            sound = self._agreeing(chosen, column)
            if len(sound) >= limit or len(chosen) < wanted:
                return sound[:limit]
            wanted += len(chosen) - len(sound)

    def _agreeing(self, chosen: Sequence[Any], column: str) -> list[str]:
        """Ids of those rows of an index that say the same as the sound rows of the table."""
        ids = [row.session_id for row in chosen]
        said = {row.session_id: (row.status, getattr(row, column)) for row in sound_states(self._statements, ids)}
        agreeing = [row.session_id for row in chosen if said.get(row.session_id) == (row[1], row[2])]
        if len(agreeing) < len(chosen):
            logger.warning("%d damaged sessions are left as they are; run check()", len(chosen) - len(agreeing))
        return agreeing
