"""The shape of a mirror: its columns, how they follow the source's, and which changes of type keep every value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Column, MetaData, Table

from cdc import types
from cdc.ingest import MAX_NAME_BYTES, is_marked
from cdc.message import RowMessage
from cdc.sql_types import sql_type
from cdc.types import Type
from eventstore.errors import Refused
from eventstore.sql.columns import exact

MAX_COLUMNS_SQLITE, MAX_COLUMNS_POSTGRES = 2_000, 1_600
"""Source: SQLite, SQLITE_MAX_COLUMN; PostgreSQL, appendix K."""


class MirrorColumn(NamedTuple):
    name: str
    type: Type
    key: bool


class MirrorShape(NamedTuple):
    """A mirror's columns in the order they came, those of the key among them."""

    columns: tuple[MirrorColumn, ...]

    @property
    def key(self) -> list[str]:
        return [column.name for column in self.columns if column.key]

    def table(self, name: str) -> Table:
        """As SQLAlchemy sees it. Columns are called c0, c1 … there: what they are really called is data."""
        return Table(
            name,
            MetaData(),
            *(
                Column(
                    c.name, sql_type(c.type), key=f"c{n}", primary_key=c.key, autoincrement=False, nullable=not c.key
                )
                for n, c in enumerate(self.columns)
            ),
        )

    def dump(self) -> str:
        return orjson.dumps([[c.name, _plain(c.type), c.key] for c in self.columns]).decode()


def load_shape(text: str) -> MirrorShape:
    return MirrorShape(tuple(MirrorColumn(name, _type(plain), key) for name, plain, key in orjson.loads(text)))


def given_table(table: Table) -> Table:
    """A copy of a table that the application gave, with types that keep values exactly and columns c0, c1 …"""
    columns = (
        Column(c.name, exact(c.type), key=f"c{n}", primary_key=c.primary_key, autoincrement=False, nullable=c.nullable)
        for n, c in enumerate(table.columns)
    )
    return Table(table.name, MetaData(), *columns, schema=table.schema)


def shape_of(message: RowMessage, declared: Mapping[str, Type]) -> MirrorShape | None:
    """The shape that a message shows; None when it has no schema and nothing is declared."""
    if message.columns is not None:
        seen = [(column.name, column.type) for column in message.columns]
    elif declared and message.after is not None:
        seen = [(name, declared[name]) for name in message.after if name in declared]
        if undeclared := message.after.keys() - declared.keys():
            raise Refused(
                f"the type of {', '.join(sorted(undeclared))} of {message.table} is not known",
                "its messages have no schema, and types= does not name it",
                f"declare it in types= of .mirror({message.table!r}, …)",
            )
    else:
        return None
    key = set() if message.key is None else set(message.key)
    if message.op == "t" and message.key_columns is None:
        return None  # a truncate has no key to tell the key's columns by
    return MirrorShape(tuple(MirrorColumn(name, kind, name in key) for name, kind in seen))


@dataclass(frozen=True, slots=True)
class Growth:
    """How a mirror gets from one shape to the next: columns that are new, columns whose type is widened."""

    shape: MirrorShape
    added: tuple[MirrorColumn, ...] = ()
    widened: tuple[MirrorColumn, ...] = ()


def grown(table: str, shape: MirrorShape, seen: MirrorShape) -> Growth:
    """The shape that holds what both hold. A column that is gone stays; :class:`Refused` when there is none."""
    if seen.key != shape.key and set(seen.key) != set(shape.key):
        raise Refused(
            f"the key of {table} changed from {', '.join(shape.key) or 'none'} to {', '.join(seen.key) or 'none'}",
            "rows of the mirror are told by their key",
            "drop the mirror's table and its line in hw_mirror, and let a snapshot fill it anew",
        )
    known = {column.name: column for column in shape.columns}
    added = tuple(column for column in seen.columns if column.name not in known)
    widened = []
    for column in seen.columns:
        former = known.get(column.name)
        if former is None or holds(former.type, column.type):
            continue
        if not widens(former.type, column.type) or column.key:
            raise Refused(
                f"the type of {column.name} of {table} changed from {former.type} to {column.type}",
                "what the mirror holds of it cannot be told to fit the new type",
                f"mirror {table} into a table of another name, and let a snapshot fill it",
            )
        known[column.name] = column
        widened.append(column)
    columns = (*(known[column.name] for column in shape.columns), *added)
    return Growth(MirrorShape(columns), added, tuple(widened))


def holds(wide: Type, narrow: Type) -> bool:
    """Whether a column of type ``wide`` keeps every value of ``narrow``, and keeps it equal."""
    if wide == narrow:
        return True
    match wide, narrow:
        case (types.Integer() | types.Float(), types.Integer() | types.Float()) if type(wide) is type(narrow):
            return wide.bits >= narrow.bits
        case types.Decimal(), types.Decimal():
            if wide.precision is None:
                return wide.scale >= narrow.scale
            if narrow.precision is None or wide.scale < narrow.scale:
                return False
            return wide.precision - wide.scale >= narrow.precision - narrow.scale
        case types.VariableDecimal(), types.Decimal() | types.Integer():
            return True
        case types.Text(), types.Text():
            return True
        case types.Timestamp() | types.Time(), types.Timestamp() | types.Time() if type(wide) is type(narrow):
            return True  # what differs is how they are sent
        case types.Bits(), types.Bits():
            return True
    return False


def widens(former: Type, type_: Type) -> bool:
    """Whether a column may become one of ``type_``, its values with it: integers may become text, too."""
    return holds(type_, former) or (isinstance(type_, types.Text) and isinstance(former, types.Integer))


def check_names(table: str, names: Sequence[str], on_sqlite: bool) -> None:
    """Refuse names, and numbers of them, that no table can have: they are data from elsewhere."""
    most = MAX_COLUMNS_SQLITE if on_sqlite else MAX_COLUMNS_POSTGRES
    if len(names) > most:
        raise Refused(
            f"{table} has, or had, {len(names):,} columns",
            f"a table of {'SQLite' if on_sqlite else 'PostgreSQL'} has {most:,} at the most",
            f"mirror {table} into a model of your own, with the columns you want",
        )
    for name in names:
        if not name or "\x00" in name or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise Refused(
                f"{name[:80]!r} of {table} cannot be the name of a column",
                f"a name has 1 to {MAX_NAME_BYTES} bytes, and no NUL",
                f"mirror {table} into a model of your own, with the columns you want",
            )
        if is_marked(name):
            raise Refused(
                f"{name!r} of {table} cannot be the name of a column",
                "it holds a mark that SQLAlchemy replaces in the statements it writes, also within quotes",
                f"mirror {table} into a model of your own, without this column",
            )
    folded = Counter(name.lower() if on_sqlite else name for name in names)
    if twice := [name for name, count in folded.items() if count > 1]:
        raise Refused(
            f"{table} has two columns called {', '.join(sorted(twice))}",
            "SQLite takes upper and lower case for the same",
            f"mirror {table} into a model of your own, or into PostgreSQL",
        )


def _plain(kind: Any) -> Any:
    if isinstance(kind, Type):
        return {"is": type(kind).__name__} | {f.name: _plain(getattr(kind, f.name)) for f in fields(kind)}
    return [_plain(part) for part in kind] if isinstance(kind, tuple) else kind


def _type(plain: Any) -> Any:
    if isinstance(plain, dict):
        arguments = {name: _type(part) for name, part in plain.items() if name != "is"}
        return _TYPES[plain["is"]](**arguments)
    return tuple(_type(part) for part in plain) if isinstance(plain, list) else plain


_TYPES: dict[str, type[Type]] = {
    name: kind for name, kind in vars(types).items() if isinstance(kind, type) and issubclass(kind, Type)
}
