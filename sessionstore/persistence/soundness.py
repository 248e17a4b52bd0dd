"""Looking for damaged rows, and signing those that nobody has signed yet. Reads whole tables, past every index."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from pydantic import ValidationError
from sqlalchemy import Select, Table, and_, bindparam, func, or_, select, update

from sessionstore.errors import SessionCorruptedError
from sessionstore.persistence.calls import CALLS, is_sound_call, read_call
from sessionstore.persistence.checksums import as_bytes, checksum_of, is_sound_text, text_checksum, text_in
from sessionstore.persistence.codec import SessionCodec
from sessionstore.persistence.execution import Executor
from sessionstore.persistence.following import is_sound_event, recorded_event
from sessionstore.persistence.history import EVENTS, TOMBSTONES, is_sound_tombstone, read_tombstone
from sessionstore.persistence.scenes import SCENES, is_sound_scene
from sessionstore.persistence.session_rows import END, SESSIONS, is_sound_state, status_of, with_instants

Codec = SessionCodec[Any, Any]


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row of which `what` is another than was signed; `key` says which, as far as that is not damaged too."""

    table: str
    key: str
    what: str


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """How the rows of one table are verified and signed."""

    table: Table
    # Parts of a row that are another than was signed.
    damage: Callable[[Any], list[str]]
    # The checksums that a row is to get; raises what its decoding raises.
    signature: Callable[[Codec, Any], dict[str, int]]

    @property
    def key(self) -> list[Any]:
        return list(self.table.primary_key)

    @property
    def is_unsigned(self) -> Any:
        """A condition: some checksum of the row is missing."""
        return or_(*(column.is_(None) for column in self.table.c if str(column.key).endswith("checksum")))


def _of_session(row: Any) -> list[str]:
    texts = {"metadata": row.metadata_checksum, "request_data": row.request_checksum}
    damaged = [name for name, checksum in texts.items() if not is_sound_text(checksum, getattr(row, name))]
    return damaged if is_sound_state(row) else ["state", *damaged]


def _sign_session(codec: Codec, row: Any) -> dict[str, int]:
    status_of(with_instants(row))
    codec.decode_request(row.request_data)
    codec.decode_metadata(row.metadata)
    checksums = {"metadata_checksum": text_checksum(row.metadata), "request_checksum": text_checksum(row.request_data)}
    state = [*row[: END - len(checksums)], *checksums.values()]
    return {**checksums, "state_checksum": checksum_of(state)}


def _sign_scene(codec: Codec, row: Any) -> dict[str, int]:
    codec.decode_scene(row.payload)
    return {"checksum": checksum_of(row[:-2], row.payload)}


def _signing(read: Callable[[Any], object], first: int) -> Callable[[Codec, Any], dict[str, int]]:
    def signature(_: Codec, row: Any) -> dict[str, int]:
        read(row)
        return {"checksum": checksum_of(row[first:-1])}

    return signature


def _whole(is_sound: Callable[[Any], bool]) -> Callable[[Any], list[str]]:
    return lambda row: [] if is_sound(row) else ["row"]


CHECKED = (
    CheckedTable(SESSIONS, _of_session, _sign_session),
    CheckedTable(SCENES, _whole(is_sound_scene), _sign_scene),
    CheckedTable(EVENTS, _whole(is_sound_event), _signing(recorded_event, 1)),
    CheckedTable(TOMBSTONES, _whole(is_sound_tombstone), _signing(read_tombstone, 1)),
    CheckedTable(CALLS, _whole(is_sound_call), _signing(read_call, 0)),
)
EVERY_ROW: dict[str, Select[Any]] = {
    each.table.name: select(*(as_bytes(column) for column in each.table.c)) for each in CHECKED
}
UNSIGNED_ROWS = {each.table.name: EVERY_ROW[each.table.name].where(each.is_unsigned) for each in CHECKED}
COUNT_UNSIGNED: dict[str, Select[Any]] = {
    each.table.name: select(func.count()).select_from(each.table).where(each.is_unsigned) for each in CHECKED
}
SIGN = {
    each.table.name: update(each.table)
    .where(and_(*(column == bindparam(f"key_{column.key}") for column in each.key)))
    .values({name: bindparam(name) for name in map(str, each.table.c.keys()) if name.endswith("checksum")})
    for each in CHECKED
}


def damaged_rows(statements: Executor) -> Iterator[DamagedRow]:
    """Every row that is another than was signed, as they are met; a page that cannot be read ends it.

    Raises:
        DatabaseUnavailableError: then.
    """
    for each in CHECKED:
        for row in _rows(statements, EVERY_ROW[each.table.name]):
            key = " ".join(str(getattr(row, column.key)) for column in each.key)
            yield from (DamagedRow(each.table.name, key, what) for what in each.damage(row))


def _rows(statements: Executor, statement: Select[Any]) -> Iterator[Any]:
    for row in statements.stream(statement):
        yield cast(Any, row)._make(map(text_in, row))


class SoundnessRepository:
    """Verifies and signs rows, of whatever table, in its unit of work."""

    def __init__(self, statements: Executor, codec: Codec) -> None:
        self._statements = statements
        self._codec = codec

    def damaged_rows(self) -> Iterator[DamagedRow]:
        """As the function of that name, in this unit of work."""
        return damaged_rows(self._statements)

    def count_unchecked(self) -> int:
        """Rows that nobody has signed yet, from before there were checksums or changed by another program."""
        return sum(int(self._statements.first(count)[0]) for count in COUNT_UNSIGNED.values())

    def sign_unchecked(self, limit: int) -> int:
        """Signs at most `limit` unsigned rows as they stand, if they can be read; how many, 0 when none is left."""
        signed = 0
        for each in CHECKED:
            rows = islice(self._signable(each), limit - signed)
            for key, checksums in list(rows):
                signed += self._statements.change(SIGN[each.table.name], {**key, **checksums})
        return signed

    def _signable(self, each: CheckedTable) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        for row in _rows(self._statements, UNSIGNED_ROWS[each.table.name]):
            try:
                checksums = each.signature(self._codec, row)
            except (SessionCorruptedError, ValidationError, ValueError, TypeError):
                continue
            if not each.damage(row):
                yield {f"key_{column.key}": getattr(row, column.key) for column in each.key}, checksums
