"""The ledger of paid calls over the table `provider_calls`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from pydantic_core import from_json
from sqlalchemy import Select, Table, Update, bindparam, delete, insert, select, update

from sessionstore.persistence.columns import Instant, as_list, each_of
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import ProviderCallRow
from sessionstore.providers import CallState, ProviderCall

CALLS = cast(Table, ProviderCallRow.__table__)
calls = CALLS.c

_is_open = calls.closed_at.is_(None)
_of_session = calls.session_id == bindparam("id")

GET_CALL = select(CALLS).where(calls.call_id == bindparam("id"))
FIND_OPEN = select(CALLS).where(
    _of_session, calls.scene_number == bindparam("number"), calls.provider == bindparam("by"), _is_open
)
LIST_OPEN = select(CALLS).where(_of_session, _is_open).order_by(calls.scene_number, calls.provider)
LIST_HELD = select(CALLS).where(_is_open, calls.state == CallState.HELD.value).order_by(calls.held_at, calls.call_id)
INSERT_CALL = insert(CALLS)
STORE = (
    update(CALLS)
    .where(_of_session, calls.scene_number == bindparam("number"), _is_open, calls.state == CallState.FETCHED.value)
    .values(state=CallState.STORED.value, closed_at=bindparam("now", type_=Instant()))
)
ABANDON = (
    update(CALLS)
    .where(calls.session_id.in_(each_of("ids")), _is_open)
    .values(state=CallState.ABANDONED.value, reason=bindparam("why"), closed_at=bindparam("now", type_=Instant()))
)


@cache
def _update_of(columns: tuple[str, ...]) -> Update:
    """One statement for each set of columns that is ever changed together."""
    return (
        update(CALLS)
        .where(calls.call_id == bindparam("id"))
        .values({column: bindparam(f"new_{column}", type_=calls[column].type) for column in columns})
    )


class CallRepository:
    """Records paid calls, at the one instant `now` of its unit of work."""

    def __init__(self, statements: Executor, now: datetime) -> None:
        self._statements = statements
        self._now = now

    def insert(self, session_id: str, scene_number: int, provider: str, **columns: Any) -> None:
        """A call that is intended from now on; `columns` are all else that an intention knows."""
        unknown = dict.fromkeys(
            ("job_id", "cost_micros", "currency", "reason", "submitted_at", "fetched_at", "held_at", "closed_at"),
        )
        key = {"session_id": session_id, "scene_number": scene_number, "provider": provider}
        known = {"state": CallState.INTENDED.value, "intended_at": self._now, "result": None, **columns}
        self._statements.change(INSERT_CALL, unknown | key | known)

    def get(self, call_id: str) -> ProviderCall | None:
        return self._one(GET_CALL, {"id": call_id})

    def find_open(self, session_id: str, scene_number: int, provider: str) -> ProviderCall | None:
        return self._one(FIND_OPEN, {"id": session_id, "number": scene_number, "by": provider})

    def list_open(self, session_id: str) -> list[ProviderCall]:
        """The open calls of one session, by scene."""
        return [_call(row) for row in self._statements.rows(LIST_OPEN, {"id": session_id})]

    def list_held(self) -> list[ProviderCall]:
        """Every call that waits for a person, the longest first."""
        return [_call(row) for row in self._statements.rows(LIST_HELD)]

    def change(self, call_id: str, state: CallState, columns: Mapping[str, Any]) -> None:
        """Moves a call to `state`, with what is known by that, and the instant."""
        changes = {"state": state.value, **columns}
        if not state.is_open():
            changes["closed_at"] = self._now
        elif state is not CallState.INTENDED:
            changes[f"{state}_at"] = self._now
        parameters = {f"new_{column}": value for column, value in changes.items()}
        self._statements.change(_update_of(tuple(changes)), {"id": call_id, **parameters})

    def store(self, session_id: str, scene_number: int) -> None:
        """The scene is saved: its fetched calls have served."""
        self._statements.change(STORE, {"id": session_id, "number": scene_number, "now": self._now})

    def abandon_scene(self, session_id: str, scene_number: int, reason: str) -> None:
        """Closes what is open for a scene that is to be made again."""
        for call in self.list_open(session_id):
            if call.scene_number == scene_number:
                self.change(call.call_id, CallState.ABANDONED, {"reason": reason})

    def abandon(self, session_ids: Sequence[str], reason: str) -> None:
        """Closes what is open of sessions that go: one that is made again under the same id is none of theirs."""
        self._statements.change(ABANDON, {"ids": as_list(session_ids), "why": reason, "now": self._now})

    def prune(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` calls that were closed before that; how many went."""
        due = select(calls.call_id).where(calls.closed_at < before).order_by(calls.closed_at).limit(limit)
        return self._statements.core.execute(delete(CALLS).where(calls.call_id.in_(due))).rowcount

    def _one(self, statement: Select[Any], parameters: Mapping[str, Any]) -> ProviderCall | None:
        row = self._statements.first(statement, parameters)
        return None if row is None else _call(row)


def _call(row: Any) -> ProviderCall:
    fields = row._asdict()
    result = fields["result"]
    return ProviderCall.model_validate(
        {**fields, "request": from_json(fields["request"]), "result": None if result is None else from_json(result)}
    )
