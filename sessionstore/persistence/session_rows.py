"""A row of `sessions` as it stands there: verified before anything is made of it, and signed when it is written."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, select

from sessionstore.models import GenerationStatus
from sessionstore.persistence.checksums import (
    MISMATCH,
    as_stored,
    checksum_of,
    is_sound,
    is_sound_text,
    stored,
    text_checksum,
)
from sessionstore.persistence.codec import corrupted
from sessionstore.persistence.columns import Instant, as_list, each_of, instant_from
from sessionstore.persistence.execution import Executor, MalformedTextError
from sessionstore.persistence.tables import SessionRow

SESSIONS = cast(Table, SessionRow.__table__)
sessions = SESSIONS.c

_names = list(sessions.keys())
# What the checksum of the state is over: all that is small, and the checksums of what is not.
SIGNED = tuple(_names[: _names.index("state_checksum")])
AT = {name: index for index, name in enumerate(SIGNED)}
END = len(SIGNED)

RAW_STATE = [as_stored(sessions[name]) for name in (*SIGNED, "state_checksum")]
RAW_SESSION = [as_stored(column) for column in sessions]
StateRow = namedtuple("StateRow", (*SIGNED, "state_checksum"))  # type: ignore[misc]
NOTHING = (None,) * END
# As many sessions as are worked on at a time in most stores: half a megabyte.
MAX_REMEMBERED, MAX_REMEMBERED_CHARACTERS = 256, 4096

GET_STATES = select(*RAW_STATE).where(sessions.session_id.in_(each_of("ids")))
_instants_at = [index for index, column in enumerate(sessions) if isinstance(column.type, Instant)]


def is_sound_state(row: Any) -> bool:
    """Whether the state of a row, which begins with it, is what was signed."""
    return is_sound(row[END], row[:END])


def require_sound_state(row: Any, session_id: str) -> None:
    """Raises SessionCorruptedError for a state that is another than was signed, or that of another session."""
    if row.session_id != session_id:
        raise corrupted(session_id, "state", "is that of another session")
    if not is_sound_state(row):
        raise corrupted(session_id, "state", MISMATCH)
    if type(row.version) is not int or type(row.attempt) is not int or type(row.scenes_done) is not int:
        raise corrupted(session_id, "state")


def require_sound(row: Any, session_id: str) -> None:
    """As `require_sound_state`, for the wide columns too."""
    require_sound_state(row, session_id)
    for part, checksum in (("request_data", row.request_checksum), ("metadata", row.metadata_checksum)):
        if not is_sound_text(checksum, getattr(row, part)):
            raise corrupted(session_id, part, MISMATCH)


def with_instants(row: Any) -> Any:
    """The row with datetimes instead of their texts.

    Raises:
        SessionCorruptedError: for what is no instant.
    """
    values = list(row)
    try:
        for index in _instants_at:
            values[index] = instant_from(values[index])
    except (ValueError, TypeError):
        raise corrupted(row.session_id, "times") from None
    return row._make(values)


def instant_in(row: Any, name: str) -> datetime | None:
    """One instant of a row. Raises SessionCorruptedError for what is none."""
    text = row[AT[name]]
    try:
        return None if text is None else instant_from(text)
    except (ValueError, TypeError) as error:
        raise corrupted(row.session_id, "times") from error


def status_of(row: Any) -> GenerationStatus:
    """Raises SessionCorruptedError for what is none."""
    try:
        return GenerationStatus(row.status)
    except ValueError:
        raise corrupted(row.session_id, "state") from None


def signed(changes: Mapping[str, Any], row: Any = NOTHING) -> tuple[dict[str, Any], list[Any]]:
    """`changes` of a row that was verified, with the checksums it then has, as stored; and its state then.

    Of a new row, `changes` are all that it has.
    """
    columns = {name: stored(value) for name, value in changes.items()}
    if "metadata" in columns:
        columns["metadata_checksum"] = text_checksum(columns["metadata"])
    if "request_data" in columns:
        columns["request_checksum"] = text_checksum(columns["request_data"])
    state = list(row[:END])
    for name, value in columns.items():
        if name in AT:
            state[AT[name]] = value
    columns["state_checksum"] = checksum = checksum_of(state)
    state.append(checksum)
    return columns, state


def remember_state(memory: dict[str, Any], row: Any) -> None:
    """Keeps a state that was read or written, in place of the one that was kept longest."""
    if len(row.progress_description or "") + len(row.error_message or "") > MAX_REMEMBERED_CHARACTERS:
        memory.pop(row.session_id, None)
        return
    memory[row.session_id] = row
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]


def sound_states(statements: Executor, session_ids: Sequence[str]) -> list[Any]:
    """The states, of those of these sessions that are there and whose state is sound."""
    try:
        rows = statements.rows(GET_STATES, {"ids": as_list(session_ids)})
    except MalformedTextError:
        if len(session_ids) == 1:
            return []
        return [row for session_id in session_ids for row in sound_states(statements, [session_id])]
    return [row for row in rows if is_sound_state(row)]
