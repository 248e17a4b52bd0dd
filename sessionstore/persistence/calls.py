"""The ledger of paid calls over the table `provider_calls`."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from pydantic_core import from_json
from sqlalchemy import Integer, Select, Table, Update, bindparam, delete, insert, select, update

from sessionstore.persistence.checksums import MISMATCH, as_stored, bound_as_stored, checksum_of, is_sound, stored
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.columns import Instant, as_list, each_of, instant_from
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.providers import CallState, ProviderCall

logger = logging.getLogger(__name__)

CALLS = cast(Table, ProviderCallRow.__table__)
calls = CALLS.c

_is_open = calls.closed_at.is_(None)
_of_session = calls.session_id == bindparam("id")
_raw = [as_stored(column) for column in calls]
_names = calls.keys()
_instants = [column.key for column in calls if isinstance(column.type, Instant)]

GET_CALL = select(*_raw).where(calls.call_id == bindparam("id"))
FIND_OPEN = select(*_raw).where(
    _of_session, calls.scene_number == bindparam("number"), calls.provider == bindparam("by"), _is_open
)
LIST_OPEN = select(*_raw).where(_of_session, _is_open).order_by(calls.scene_number, calls.provider)
LIST_OPEN_OF_ALL = select(*_raw).where(calls.session_id.in_(each_of("ids")), _is_open)
LIST_HELD = select(*_raw).where(_is_open, calls.state == CallState.HELD.value).order_by(calls.held_at, calls.call_id)
LIST_CLOSED = (
    select(*_raw)
    .where(calls.closed_at < bindparam("before", type_=Instant()))
    .order_by(calls.closed_at)
    .limit(bindparam("limit", type_=Integer()))
)
DELETE_CALLS = delete(CALLS).where(calls.call_id.in_(each_of("ids")))
INSERT_CALL = insert(CALLS).values(bound_as_stored(calls, _names))


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    """One statement for each set of columns that is ever changed together."""
    return (
        update(CALLS)
        .where(calls.call_id == bindparam("id"))
        .values({column: bindparam(f"new_{column}", type_=as_stored(calls[column]).type) for column in columns})
    )


def is_sound_call(row: Any) -> bool:
    """Whether a row, its checksum last, is what was signed."""
    return is_sound(row[-1], row[:-1])


class CallRepository:
    """Records paid calls, at the one instant `now` of its unit of work.

    A call that is damaged raises SessionCorruptedError, wherever it is read or would be changed.
    """

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def insert(self, session_id: str, scene_number: int, provider: str, **columns: Any) -> None:
        """A call that is intended from now on; `columns` are all else that an intention knows."""
        key = {"session_id": session_id, "scene_number": scene_number, "provider": provider}
        known = {"state": CallState.INTENDED.value, "intended_at": self._now, **columns}
        row = dict.fromkeys(_names) | {name: stored(value) for name, value in (key | known).items()}
        row["checksum"] = checksum_of([row[name] for name in _names[:-1]])
        self._statements.change(INSERT_CALL, row)

    def get(self, call_id: str) -> ProviderCall | None:
        """The call of that id."""
        return self._one(GET_CALL, {"id": call_id}, call_id=call_id)

    def find_open(self, session_id: str, scene_number: int, provider: str) -> ProviderCall | None:
        """The open call for a scene; there is one at most."""
        key = {"session_id": session_id, "scene_number": scene_number, "provider": provider}
        return self._one(FIND_OPEN, {"id": session_id, "number": scene_number, "by": provider}, **key)

    def list_open(self, session_id: str) -> list[ProviderCall]:
        """The open calls of one session, by scene."""
        return [read_call(row) for row in self._open_rows(session_id)]

    def list_held(self) -> list[ProviderCall]:
        """Every call that waits for a person, the longest first."""
        rows = self._statements.rows(LIST_HELD)
        for row in rows:
            _require_sound(row, state=CallState.HELD.value, closed_at=None)
        return [read_call(row) for row in rows]

    def change(self, call_id: str, state: CallState, columns: Mapping[str, Any]) -> None:
        """Moves a call to `state`, with what is known by that, and the instant."""
        row = self._statements.first(GET_CALL, {"id": call_id})
        if row is not None:
            _require_sound(row, call_id=call_id)
            self._change(row, state, columns)

    def store(self, session_id: str, scene_number: int) -> None:
        """The scene is saved: its fetched calls have served."""
        for row in self._open_rows(session_id, scene_number):
            if row.state == CallState.FETCHED:
                self._change(row, CallState.STORED, {})

    def abandon_scene(self, session_id: str, scene_number: int, reason: str) -> None:
        """Closes what is open for a scene that is to be made again."""
        for row in self._open_rows(session_id, scene_number):
            self._change(row, CallState.ABANDONED, {"reason": reason})

    def abandon(self, session_ids: Sequence[str], reason: str) -> None:
        """Closes what is open of sessions that go: one that is made again under the same id is none of theirs.

        What is damaged stays as it is.
        """
        for row in self._statements.rows(LIST_OPEN_OF_ALL, {"ids": as_list(session_ids)}):
            if is_sound_call(row):
                self._change(row, CallState.ABANDONED, {"reason": reason})
            else:
                logger.warning("call %s is damaged, and stays as it is; run check()", row.call_id)

    def prune(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` calls that were closed before that; how many went. Damaged ones stay."""
        rows = self._statements.rows(LIST_CLOSED, {"before": before, "limit": limit})
        due = [row.call_id for row in rows if is_sound_call(row) and row.closed_at < stored(before)]
        return self._statements.change(DELETE_CALLS, {"ids": as_list(due)})

    def _open_rows(self, session_id: str, scene_number: int | None = None) -> list[Any]:
        rows = self._statements.rows(LIST_OPEN, {"id": session_id})
        if scene_number is not None:
            rows = [row for row in rows if row.scene_number == scene_number]
        for row in rows:
            _require_sound(row, session_id=session_id, closed_at=None)
        return rows

    def _one(self, statement: Select[Any], parameters: Mapping[str, Any], **key: Any) -> ProviderCall | None:
        row = self._statements.first(statement, parameters)
        if row is None:
            return None
        _require_sound(row, **key)
        return read_call(row)

    def _change(self, row: Any, state: CallState, columns: Mapping[str, Any]) -> None:
        """Changes a row that was verified. The one place that does, so that each change is signed."""
        changes = {"state": state.value, **columns}
        if not state.is_open():
            changes["closed_at"] = self._now
        elif state is not CallState.INTENDED:
            changes[f"{state}_at"] = self._now
        changes = {name: stored(value) for name, value in changes.items()}
        changed = row._replace(**changes)
        changes["checksum"] = checksum_of(changed[:-1])
        parameters = {f"new_{column}": value for column, value in changes.items()}
        self._statements.change(_update_of(tuple(changes)), {"id": row.call_id, **parameters})


def _require_sound(row: Any, **known: Any) -> None:
    """Raises SessionCorruptedError for a row that is another than was signed, or than an index said."""
    if not is_sound_call(row) or any(getattr(row, name) != value for name, value in known.items()):
        raise corrupted(str(row.session_id), f"paid call {row.call_id}", MISMATCH)


def read_call(row: Any) -> ProviderCall:
    """The call of a row as it stands; SessionCorruptedError for what is none."""
    fields = row._asdict()
    try:
        fields |= {name: instant_from(fields[name]) for name in _instants}
        result = None if row.result is None else from_json(row.result)
        return ProviderCall.model_validate({**fields, "request": from_json(row.request), "result": result})
    except (ValueError, TypeError):
        raise corrupted(str(row.session_id), f"paid call {row.call_id}") from None
