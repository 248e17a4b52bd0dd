"""Which sessions nothing scheduled may remove: somebody works on them, or money hangs on them."""

from typing import cast

from sqlalchemy import Table, and_, exists, literal_column

from sessionstore.persistence.tables import ProviderCallRow, RunRow, SessionRow
from sessionstore.providers import CallState

_sessions = cast(Table, SessionRow.__table__).c
_runs, _calls = cast(Table, RunRow.__table__).c, cast(Table, ProviderCallRow.__table__).c

_is_leased = exists().where(_runs.session_id == _sessions.session_id, _runs.ended_at.is_(None))
_has_held_call = exists().where(
    _calls.session_id == _sessions.session_id,
    _calls.closed_at.is_(None),
    _calls.state == literal_column(f"'{CallState.HELD}'"),
)

IS_NOT_SPARED = and_(~_is_leased, ~_has_held_call)
"""A condition on `sessions`: no lease is held on it, and no paid call of it waits for a person."""
