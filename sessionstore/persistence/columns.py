"""Column types that mean the same on every engine, and read well in the tools people already use."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import DateTime, Dialect, Select, Text, bindparam, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType


class _SqliteInstant(UserDefinedType[datetime]):
    """UTC text `YYYY-MM-DD HH:MM:SS.mmm` in a column declared DATETIME.

    SQLAlchemy's own six digits are misread by JDBC, and `T...Z` or epoch numbers match nothing against
    `datetime('now', '-1 hour')`.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "DATETIME"


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, to the millisecond. A naive one is refused: its zone would be a guess."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _SqliteInstant() if dialect.name == "sqlite" else dialect.type_descriptor(self.impl_instance)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return instant_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        return instant_from if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


# A write binds the one instant of its unit up to four times; only the first is worth formatting.
_last_text: tuple[datetime | None, str | None] = (None, None)


def instant_text(moment: datetime | None) -> str | None:
    """An instant as SQLite keeps it."""
    global _last_text  # noqa: PLW0603 - replaced as a whole, so that threads see a pair that belongs together
    last_moment, text = _last_text
    if moment is last_moment:
        return text
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a naive datetime cannot be stored; give it a time zone")
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    text = in_utc.isoformat(" ", "milliseconds")[:23]
    _last_text = (moment, text)
    return text


def instant_from(text: str | None) -> datetime | None:
    """The instant that such a text is; ValueError or TypeError for what is none."""
    return None if text is None else datetime.fromisoformat(text + "+00:00")


class JsonText(UserDefinedType[str]):
    """A JSON column that takes and gives its text: the codec, not the driver, parses and writes it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


def each_of(name: str) -> Select[tuple[str]]:
    """The values of a list given as one parameter, so that a statement is the same whatever the list's length."""
    return select(func.json_each(bindparam(name, type_=Text())).table_valued("value").c.value)


def as_list(values: Sequence[str | int]) -> str:
    """What such a parameter is bound to."""
    return to_json(values).decode()


class day_of(FunctionElement[datetime]):  # noqa: N801 - stands in statements as a function does
    """The midnight, in UTC, before an instant."""

    inherit_cache = True
    type = Instant()


def _argument(element: FunctionElement[Any], compiler: SQLCompiler) -> str:
    (argument,) = element.clauses
    return compiler.process(argument)


@compiles(day_of, "sqlite")
def _day_in_sqlite(element: day_of, compiler: SQLCompiler, **_: Any) -> str:
    return f"substr({_argument(element, compiler)}, 1, 10) || ' 00:00:00.000'"
