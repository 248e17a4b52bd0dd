"""Column types that mean the same on every engine, and read well in the tools people already use."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
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
        return _text_of if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        return _moment_of if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


# A write binds the one instant of its unit up to four times; only the first is worth formatting.
_last_text: tuple[datetime | None, str | None] = (None, None)


def _text_of(moment: datetime | None) -> str | None:
    global _last_text  # noqa: PLW0603 - replaced as a whole, so that threads see a pair that belongs together
    last_moment, text = _last_text
    if moment is last_moment:
        return text
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a naive datetime cannot be stored; give it a time zone")
    text = moment.astimezone(UTC).isoformat(" ", "milliseconds")[:23]
    _last_text = (moment, text)
    return text


def _moment_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text + "+00:00")


class JsonText(UserDefinedType[str]):
    """A JSON column that takes and gives its text: the codec, not the driver, parses and writes it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


class seconds_between(GenericFunction[float]):  # noqa: N801 - named as it reads in a statement
    """Seconds from the first instant to the second, as a number; negative when they are the other way."""

    type = Float()
    inherit_cache = True


@compiles(seconds_between, "sqlite")
def _seconds_between_on_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"
