"""What the counts that triggers and writes keep should be, by the rows; and putting that in their place."""

from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    union_all,
)

from sessionstore.models import GenerationStatus
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.tables import SceneRow, SessionCountRow, SessionRow

sessions, scenes = cast(Table, SessionRow.__table__).c, cast(Table, SceneRow.__table__).c
KEPT = cast(Table, SessionCountRow.__table__)
NOTHING: ColumnElement[Any] = literal_column("0")
NO_VALUE: ColumnElement[Any] = literal_column("''")


def _counted(counted_by: str, value: ColumnElement[Any], created_ms: ColumnElement[Any] = NOTHING) -> Select[Any]:
    """Rows as in `session_counts`."""
    kind: ColumnElement[Any] = literal_column(f"'{counted_by}'").label("counted_by")
    figures = (func.count().label("sessions"), created_ms.label("created_ms"))
    return select(kind, value.label("value"), *figures).select_from(SessionRow)


def _minute_of(instant: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.substr(instant, literal_column("1"), literal_column("16"))


_seconds = func.strftime(literal_column("'%s'"), sessions.created_at) - literal_column("1577836800")
_milliseconds = func.substr(sessions.created_at, literal_column("21"), literal_column("3"))
_since_2020_ms = _seconds * literal_column("1000") + _milliseconds
COUNTED = union_all(
    _counted("all", NO_VALUE, func.coalesce(func.sum(_since_2020_ms), NOTHING)),
    _counted("status", sessions.status).group_by(sessions.status),
    _counted("created", _minute_of(sessions.created_at)).group_by(_minute_of(sessions.created_at)),
    _counted("quiet", _minute_of(sessions.updated_at))
    .where(sessions.status == literal_column("'processing'"))
    .group_by(_minute_of(sessions.updated_at)),
)
_columns = list(KEPT.columns.keys())
BY_ROWS, AS_KEPT = select(COUNTED.subquery()), select(KEPT)
FORGET = delete(KEPT)
COUNT = insert(KEPT).from_select(_columns, BY_ROWS)
# A change of status changes two counts, both of which must be there.
COUNT_NONE = (
    insert(KEPT)
    .prefix_with("OR IGNORE")
    .values(counted_by="status", value=bindparam("status"), sessions=NOTHING, created_ms=NOTHING)
)
_scenes_there = select(func.count()).where(scenes.session_id == sessions.session_id).scalar_subquery()
_is_wrong = sessions.scenes_done != _scenes_there
MISCOUNTED_SCENES = select(sessions.session_id).where(_is_wrong).order_by(sessions.session_id)


class Recounting:
    """Over one snapshot, or in one transaction. Reads every session."""

    def __init__(self, statements: Executor) -> None:
        self._statements = statements

    def miscounted(self) -> list[str]:
        """What `session_counts` says another number of than there is, such as `status failed`."""
        found, kept = (
            {tuple(row) for row in self._statements.plain_rows(each) if row[2]} for each in (BY_ROWS, AS_KEPT)
        )
        return sorted({f"{counted_by} {value}".strip() for counted_by, value, *_ in found ^ kept})

    def miscounted_sessions(self) -> list[str]:
        """Ids of those that say another number of scenes than they have."""
        return self._statements.column(MISCOUNTED_SCENES, {})

    def count_anew(self) -> None:
        """Replaces all kept counts by what the rows amount to."""
        self._statements.change(FORGET, {})
        self._statements.change(COUNT, {})
        self._statements.change_each(COUNT_NONE, ({"status": status.value} for status in GenerationStatus))
