"""Executing statements at the level of the driver.

A statement is declared once over the ORM classes and compiled once for the dialect. From then on it costs what
the driver takes (about 3 µs) instead of what SQLAlchemy adds around it (about 17 more). Values convert as in
SQLAlchemy, by the types' own processors.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter, methodcaller
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.types import TypeEngine

from sessionstore.errors import DatabaseUnavailableError

Statement = Select[Any] | Insert | Update | Delete
NOTHING: Mapping[str, Any] = {}

# What is taken from an executed cursor. All rows, even for the first: an unfinished statement would hold its
# snapshot beyond the transaction.
fetch_all = methodcaller("fetchall")
row_count = attrgetter("rowcount")


class MalformedTextError(DatabaseUnavailableError):
    """A column that is to hold text holds bytes that are none; which row it was, the driver does not say."""


class Prepared:
    """One statement, compiled: its text, how parameters go in and how columns come out."""

    __slots__ = ("_binders", "_constants", "_converters", "_row", "sql")

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._constants = compiled.params
        # Each name once, though it may stand in several places.
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        binders = ((name, _of(bind.type, dialect).bind_processor(dialect)) for name, bind in binds.items())
        self._binders = [(name, convert) for name, convert in binders if convert is not None]
        columns = list(statement.exported_columns)
        # Columns without a name of their own, such as count(*), are named by their position.
        self._row = _row_type([column.key or "" for column in columns])
        converters = [_of(column.type, dialect).result_processor(dialect, None) for column in columns]
        self._converters = [(index, convert) for index, convert in enumerate(converters) if convert is not None]

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The values by name; those that the statement itself holds need not be given."""
        values = {**self._constants, **parameters}
        for name, convert in self._binders:
            values[name] = convert(values[name])
        return values

    def row(self, values: Iterable[Any]) -> Any:
        """A fetched row, its columns converted and reachable by name."""
        if not self._converters:
            return tuple.__new__(self._row, values)
        converted = list(values)
        for index, convert in self._converters:
            converted[index] = convert(converted[index])
        # What a named tuple's own `_make` does after a check that the statement has made already.
        return tuple.__new__(self._row, converted)


def _row_type(names: list[str]) -> Any:
    return namedtuple("Row", names, rename=True)


class Executor:
    """Executes prepared statements on one held connection. For one thread at a time.

    Errors of the driver leave as what `translate` makes of them.
    """

    def __init__(self, connection: Connection, translate: Callable[[Any], Exception]) -> None:
        self._core = connection
        self._driver: Any = connection.connection.driver_connection
        self._dialect = connection.dialect
        self._driver_error = connection.dialect.loaded_dbapi.Error
        self._translate = translate
        self._prepared: dict[Statement, Prepared] = {}
        # What repositories remember from one transaction of this connection to the next.
        self.memory: dict[str, Any] = {}

    @property
    def core(self) -> Connection:
        """SQLAlchemy's own road, for statements that are built as they are needed."""
        self._require_transaction()
        return self._core

    def first(self, statement: Statement, parameters: Mapping[str, Any] = NOTHING) -> Any:
        """The first row, or None."""
        prepared = self._prepared.get(statement) or self._prepare(statement)
        found = self._execute(prepared.sql, prepared.bind(parameters), fetch_all)
        return prepared.row(found[0]) if found else None

    def rows(self, statement: Statement, parameters: Mapping[str, Any] = NOTHING) -> list[Any]:
        """All rows."""
        prepared = self._prepared.get(statement) or self._prepare(statement)
        return [prepared.row(values) for values in self._execute(prepared.sql, prepared.bind(parameters), fetch_all)]

    def stream(self, statement: Statement) -> Iterator[Any]:
        """All rows of a statement without parameters, one by one; it must not be left unfinished."""
        prepared = self._prepared.get(statement) or self._prepare(statement)
        cursor = self._execute(prepared.sql, prepared.bind(NOTHING), lambda cursor: cursor)
        try:
            yield from map(prepared.row, cursor)
        except (self._driver_error, UnicodeDecodeError) as error:
            raise self._translate(error) from error
        finally:
            cursor.close()

    def column(self, statement: Statement, parameters: Mapping[str, Any]) -> list[Any]:
        """The first column of all rows, as the driver gives it."""
        prepared = self._prepared.get(statement) or self._prepare(statement)
        return [values[0] for values in self._execute(prepared.sql, prepared.bind(parameters), fetch_all)]

    def plain_rows(self, statement: Select[Any]) -> list[Any]:
        """All rows, as the driver gives them, of a statement that is built as it is needed and holds its values."""
        prepared = Prepared(statement, self._dialect)
        return list(self._execute(prepared.sql, prepared.bind(NOTHING), fetch_all))

    def change(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """How many rows an insert, update or delete touched."""
        prepared = self._prepared.get(statement) or self._prepare(statement)
        count: int = self._execute(prepared.sql, prepared.bind(parameters), row_count)
        return count

    def run(self, sql: str) -> None:
        """Executes a statement that has neither parameters nor rows."""
        self._execute(sql, NOTHING, row_count)

    def change_each(self, statement: Statement, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Executes the statement once for each set of parameters."""
        for each in parameters:
            self.change(statement, each)

    def _execute(self, sql: str, values: Mapping[str, Any], take: Callable[[Any], Any]) -> Any:
        try:
            if not self._driver.in_transaction:
                raise _ended()
            return take(self._driver.execute(sql, values))
        except (self._driver_error, UnicodeDecodeError) as error:
            raise self._translate(error) from error

    def disown(self) -> None:
        """In a forked child: nothing is executed any more, as if the transaction had been ended."""
        self._driver = SimpleNamespace(in_transaction=False)

    def is_in_transaction(self) -> bool:
        """False when the database ended the transaction, or the connection is closed."""
        try:
            return bool(self._driver.in_transaction)
        except self._driver_error:
            return False

    def _require_transaction(self) -> None:
        if not self.is_in_transaction():
            raise _ended()

    def _prepare(self, statement: Statement) -> Prepared:
        prepared = self._prepared[statement] = _prepared_for(statement, self._dialect)
        return prepared


def _ended() -> DatabaseUnavailableError:
    # A full disk, for one, makes SQLite end the transaction: what followed would be committed by itself.
    return DatabaseUnavailableError(
        "the database ended this transaction after an earlier error in it; nothing of it was saved, "
        "leave the transaction and repeat it"
    )


_prepared_statements: dict[tuple[str, Statement], Prepared] = {}


def _prepared_for(statement: Statement, dialect: Dialect) -> Prepared:
    """Compiled once in a process: another connection of the same dialect uses it too."""
    key = (dialect.name, statement)
    if key not in _prepared_statements:
        _prepared_statements[key] = Prepared(statement, dialect)
    return _prepared_statements[key]


def _of(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return type_.dialect_impl(dialect)
