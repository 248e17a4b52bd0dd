"""Executing statements at the level of the driver.

A statement is declared once over the ORM classes and compiled once for the dialect. From then on it costs what
the driver takes (about 3 µs) instead of what SQLAlchemy adds around it (about 17 more). Values convert as in
SQLAlchemy, by the types' own processors.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.types import TypeEngine

from sessionstore.errors import DatabaseUnavailableError

Statement = Select[Any] | Insert | Update | Delete
NOTHING: Mapping[str, Any] = {}


class Prepared:
    """One statement, compiled: its text, how parameters go in and how columns come out."""

    __slots__ = ("_converters", "_parameters", "_row", "sql")

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._parameters = [
            (name, _of(compiled.binds[name].type, dialect).bind_processor(dialect), compiled.params[name])
            for name in compiled.positiontup
        ]
        columns = list(statement.exported_columns)
        # Columns without a name of their own, such as count(*), are named by their position.
        self._row = _row_type([column.key or "" for column in columns])
        converters = [_of(column.type, dialect).result_processor(dialect, None) for column in columns]
        self._converters = [(index, convert) for index, convert in enumerate(converters) if convert is not None]

    def bind(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values in the order of their marks; those that the statement itself holds need not be given."""
        return [
            parameters.get(name, constant) if convert is None else convert(parameters.get(name, constant))
            for name, convert, constant in self._parameters
        ]

    def row(self, values: Iterable[Any]) -> Any:
        """A fetched row, its columns converted and reachable by name."""
        converted = list(values)
        for index, convert in self._converters:
            converted[index] = convert(converted[index])
        return self._row._make(converted)


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

    @property
    def core(self) -> Connection:
        """SQLAlchemy's own road, for statements that are built as they are needed."""
        self._require_transaction()
        return self._core

    def first(self, statement: Statement, parameters: Mapping[str, Any] = NOTHING) -> Any:
        """The first row, or None."""
        prepared = _prepared(statement, self._dialect)
        values = self._execute(prepared.sql, prepared.bind(parameters), fetch_one)
        return None if values is None else prepared.row(values)

    def rows(self, statement: Statement, parameters: Mapping[str, Any] = NOTHING) -> list[Any]:
        """All rows."""
        prepared = _prepared(statement, self._dialect)
        return [prepared.row(values) for values in self._execute(prepared.sql, prepared.bind(parameters), fetch_all)]

    def change(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """How many rows an insert, update or delete touched."""
        prepared = _prepared(statement, self._dialect)
        count: int = self._execute(prepared.sql, prepared.bind(parameters), row_count)
        return count

    def run(self, sql: str) -> None:
        """Executes a statement that has neither parameters nor rows."""
        self._execute(sql, [], row_count)

    def change_each(self, statement: Statement, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Executes the statement once for each set of parameters."""
        for each in parameters:
            self.change(statement, each)

    def _execute(self, sql: str, values: list[Any], take: Callable[[Any], Any]) -> Any:
        self._require_transaction()
        try:
            return take(self._driver.execute(sql, values))
        except self._driver_error as error:
            raise self._translate(error) from error

    def is_in_transaction(self) -> bool:
        """False when the database ended the transaction, or the connection is closed."""
        try:
            return bool(self._driver.in_transaction)
        except self._driver_error:
            return False

    def _require_transaction(self) -> None:
        # A full disk, for one, makes SQLite end the transaction: what followed would be committed by itself.
        if not self.is_in_transaction():
            raise DatabaseUnavailableError(
                "the database ended this transaction after an earlier error in it; nothing of it was saved, "
                "leave the transaction and repeat it"
            )


def fetch_one(cursor: Any) -> Any:
    row = cursor.fetchone()
    # An unfinished statement would hold its snapshot beyond the transaction.
    cursor.close()
    return row


def fetch_all(cursor: Any) -> Any:
    return cursor.fetchall()


def row_count(cursor: Any) -> int:
    count: int = cursor.rowcount
    return count


_prepared_statements: dict[tuple[str, Statement], Prepared] = {}


def _prepared(statement: Statement, dialect: Dialect) -> Prepared:
    key = (dialect.name, statement)
    prepared = _prepared_statements.get(key)
    if prepared is None:
        prepared = _prepared_statements[key] = Prepared(statement, dialect)
    return prepared


def _of(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return type_.dialect_impl(dialect)
