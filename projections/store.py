"""Rows in SQL: read by key or by a column, written as sets, in the driver's own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import Column, Connection, Dialect, String

from eventstore.sql.engine import is_sqlite
from projections.shape import Key, RowValues, Shape

CHUNK = 5_000
"""Rows of one statement; SQLite takes 32,766 parameters. Source: SQLite, SQLITE_MAX_VARIABLE_NUMBER."""
COPY_FROM = 50
"""From how many new rows on COPY is faster than an INSERT."""

Processor = Callable[[Any], Any]


class RowStore:
    """Reads and writes rows of ``shape`` in ``relation``, a name that is quoted already, on one kind of database."""

    def __init__(self, shape: Shape, relation: str, dialect: Dialect) -> None:
        self._shape, self._relation, self._dialect = shape, relation, dialect
        self._names = [dialect.identifier_preparer.quote(column.name) for column in shape.columns]
        self._bind = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in shape.columns]
        self._result: list[Processor | None] | None = None

    @staticmethod
    def on(connection: Connection, shape: Shape, relation: str) -> RowStore:
        kind = SqliteRows if is_sqlite(connection) else PostgresRows
        return kind(shape, relation, connection.dialect)

    def read(self, connection: Connection, keys: Sequence[Key]) -> dict[Key, RowValues]:
        """The rows of ``keys`` that exist."""
        return self._select(connection, range(self._shape.width), keys)

    def read_where(self, connection: Connection, name: str, values: Sequence[Any]) -> dict[Key, RowValues]:
        """The rows whose column ``name`` is one of ``values``."""
        return self._select(connection, [self._shape.names.index(name)], values)

    def upsert(self, connection: Connection, rows: Sequence[RowValues]) -> None:
        """Insert rows, or replace those of the same key."""
        for chunk in _chunks(rows):
            self._upsert(connection, self._bound(range(len(self._names)), chunk))

    def insert(self, connection: Connection, rows: Sequence[RowValues]) -> None:
        """Insert rows that are known not to be there."""
        self.upsert(connection, rows)

    def delete(self, connection: Connection, keys: Sequence[Key]) -> None:
        for chunk in _chunks(keys):
            self._delete(connection, self._bound(range(self._shape.width), self._tuples(chunk)))

    # ---------------------------------------------------------------- what the databases do differently

    def _where(self, columns: Sequence[int], count: int) -> str:
        raise NotImplementedError

    def _parameters(self, bound: list[list[Any]]) -> tuple[Any, ...]:
        raise NotImplementedError

    def _upsert(self, connection: Connection, bound: list[list[Any]]) -> None:
        raise NotImplementedError

    def _delete(self, connection: Connection, bound: list[list[Any]]) -> None:
        raise NotImplementedError

    # ---------------------------------------------------------------- steps

    def _select(self, connection: Connection, columns: Sequence[int], wanted: Sequence[Any]) -> dict[Key, RowValues]:
        found: dict[Key, RowValues] = {}
        for chunk in _chunks(wanted):
            tuples = self._tuples(chunk) if len(columns) > 1 else [(value,) for value in chunk]
            bound = self._bound(columns, tuples)
            statement = (
                f"SELECT {', '.join(self._names)} FROM {self._relation} WHERE {self._where(columns, len(chunk))}"
            )
            result = connection.exec_driver_sql(statement, self._parameters(bound))
            if self._result is None:
                self._result = list(self._result_processors(result.cursor))
            for values in self._python(result.all()):
                found[self._shape.key_in(values)] = values
        return found

    def _tuples(self, keys: Sequence[Key]) -> Sequence[tuple[Any, ...]]:
        return [(key,) for key in keys] if self._shape.width == 1 else keys

    def _bound(self, columns: Sequence[int], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Values as the driver takes them, column by column."""
        lists = [list(column) for column in zip(*rows, strict=True)]
        for place, i in enumerate(columns):
            process = self._bind[i]
            if process is not None:
                lists[place] = list(map(process, lists[place]))
        return lists

    def _result_processors(self, cursor: Any) -> Iterator[Processor | None]:
        for column, described in zip(self._shape.columns, cursor.description, strict=True):
            yield column.type.dialect_impl(self._dialect).result_processor(self._dialect, described[1])

    def _python(self, rows: Sequence[Sequence[Any]]) -> Iterator[RowValues]:
        processors = self._result or []
        if not rows or not any(processors):
            return map(tuple, rows)
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for i, process in enumerate(processors):
            if process is not None:
                columns[i] = list(map(process, columns[i]))
        return zip(*columns, strict=True)


class SqliteRows(RowStore):
    """In-process statements: one row each costs no round trip."""

    def __init__(self, shape: Shape, relation: str, dialect: Dialect) -> None:
        super().__init__(shape, relation, dialect)
        keys, rest = self._names[: shape.width], self._names[shape.width :]
        self._insert_statement = _upsert_statement(relation, self._names, keys, rest, ", ".join("?" * len(self._names)))
        self._delete_statement = f"DELETE FROM {relation} WHERE {' AND '.join(f'{name} = ?' for name in keys)}"

    def _where(self, columns: Sequence[int], count: int) -> str:
        names = [self._names[i] for i in columns]
        if len(names) == 1:
            return f"{names[0]} IN ({', '.join(repeat('?', count))})"
        row = f"({', '.join('?' * len(names))})"
        return f"({', '.join(names)}) IN (VALUES {', '.join(repeat(row, count))})"

    def _parameters(self, bound: list[list[Any]]) -> tuple[Any, ...]:
        return tuple(value for row in zip(*bound, strict=True) for value in row)

    def _upsert(self, connection: Connection, bound: list[list[Any]]) -> None:
        connection.exec_driver_sql(self._insert_statement, list(zip(*bound, strict=True)))

    def _delete(self, connection: Connection, bound: list[list[Any]]) -> None:
        connection.exec_driver_sql(self._delete_statement, list(zip(*bound, strict=True)))


class PostgresRows(RowStore):
    """One statement for a set: each column travels as an array."""

    def __init__(self, shape: Shape, relation: str, dialect: Dialect) -> None:
        super().__init__(shape, relation, dialect)
        self._arrays = [f"%s::{_sql_type(column, dialect)}[]" for column in shape.columns]
        keys, rest = self._names[: shape.width], self._names[shape.width :]
        rows = f"SELECT * FROM unnest({', '.join(self._arrays)})"
        self._insert_statement = _upsert_statement(relation, self._names, keys, rest, rows)
        # Without parameters the driver takes a statement as it is: quoting doubled the % of names for it.
        self._copy_statement = f"COPY {relation} ({', '.join(self._names)}) FROM STDIN".replace("%%", "%")
        self._delete_statement = f"DELETE FROM {relation} WHERE {self._where(range(shape.width), 0)}"

    def insert(self, connection: Connection, rows: Sequence[RowValues]) -> None:
        if len(rows) < COPY_FROM:
            self.upsert(connection, rows)
            return
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor, cursor.copy(self._copy_statement) as copy:
            for row in zip(*self._bound(range(len(self._names)), rows), strict=True):
                copy.write_row(row)

    def _where(self, columns: Sequence[int], count: int) -> str:
        if len(columns) == 1:
            return f"{self._names[columns[0]]} = ANY({self._arrays[columns[0]]})"
        names, arrays = [self._names[i] for i in columns], [self._arrays[i] for i in columns]
        return f"({', '.join(names)}) IN (SELECT * FROM unnest({', '.join(arrays)}))"

    def _parameters(self, bound: list[list[Any]]) -> tuple[Any, ...]:
        return tuple(bound)

    def _upsert(self, connection: Connection, bound: list[list[Any]]) -> None:
        connection.exec_driver_sql(self._insert_statement, tuple(bound))

    def _delete(self, connection: Connection, bound: list[list[Any]]) -> None:
        connection.exec_driver_sql(self._delete_statement, tuple(bound))


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _upsert_statement(relation: str, names: list[str], keys: list[str], rest: list[str], source: str) -> str:
    rows = source if source.startswith("SELECT") else f"VALUES ({source})"
    change = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)}" if rest else "NOTHING"
    return f"INSERT INTO {relation} ({', '.join(names)}) {rows} ON CONFLICT ({', '.join(keys)}) DO {change}"


def _sql_type(column: Column[Any], dialect: Dialect) -> str:
    """The type of an array's elements. Text without its length: a cast would cut, storing it refuses."""
    return "text" if isinstance(column.type, String) else column.type.compile(dialect=dialect)
