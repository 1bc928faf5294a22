"""Read models: SQLAlchemy models whose rows a projection folds, and the plain twins that it folds them on."""

from __future__ import annotations

import datetime as dt
import enum
import typing
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import ARRAY, JSON, BigInteger, Column, DateTime, Table, inspect
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapper

from eventstore.errors import DeclarationError, IncompleteRow
from eventstore.sql.columns import exact

R = TypeVar("R")


class Delete(enum.Enum):
    """The type of :data:`DELETE`."""

    ROW = "row"


DELETE: Final = Delete.ROW
"""What a handler returns to delete its row; returning nothing keeps it."""


class ReadModel(DeclarativeBase):
    """Base of read models: declared and queried as any SQLAlchemy model, written by a projection only.

    Columns keep exactly what they are given (see :mod:`eventstore.sql.columns`). ``Mapped[datetime]`` is a
    time with its zone, ``Mapped[int]`` has 64 bits, enums are kept as text, ``dict[str, Any]`` and lists of
    ``Any``, ``str`` or ``int`` as JSON.
    """

    type_annotation_map = {
        int: BigInteger(),
        dt.datetime: DateTime(timezone=True),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
        list[str]: JSON(),
        list[int]: JSON(),
        enum.Enum: sqlalchemy.Enum(enum.Enum, native_enum=False),
        typing.Literal: sqlalchemy.Enum(enum.Enum, native_enum=False),
    }

    @classmethod
    def __table_cls__(cls, *args: Any, **options: Any) -> Table:
        """Called by SQLAlchemy to make the table: with exact types instead of those that lose digits."""
        for column in args:
            if isinstance(column, Column):
                column.type = exact(column.type)
        return Table(*args, **options)


def columns_of(model: type[Any]) -> dict[str, Column[Any]]:
    """The columns of ``model`` by attribute, those of the primary key first, in its order.

    A model that asks for what a fold cannot give is refused with :class:`~eventstore.errors.DeclarationError`.
    """
    mapper: Any = inspect(model, raiseerr=False)
    if not (isinstance(model, type) and issubclass(model, ReadModel) and isinstance(mapper, Mapper)):
        raise _unusable(repr(model), "is no read model", "write class …(ReadModel) with a __tablename__")
    for refused, why, fix in _refusals(mapper):
        raise _unusable(refused, why, fix)
    keys = {column: mapper.get_property_by_column(column).key for column in mapper.primary_key}
    rest = {attribute.columns[0]: attribute.key for attribute in mapper.column_attrs}
    return {name: typing.cast(Column[Any], column) for column, name in (keys | rest).items()}


def _unusable(refused: str, why: str, fix: str) -> DeclarationError:
    return DeclarationError(f"{refused} {why}", "a projection folds plain rows of one table", fix)


def _refusals(mapper: Mapper[Any]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a model: what, why, what to do."""
    name = mapper.class_.__name__
    for relationship in mapper.relationships:
        fix = "keep the other row's key in a column, and join when you query"
        yield f"{name}.{relationship.key}", "is a relationship, which a row being folded cannot load", fix
    for synonym in (*mapper.composites, *mapper.synonyms):
        yield f"{name}.{synonym.key}", "is made of other attributes", "make it a property of the model"
    if mapper.inherits is not None or mapper.polymorphic_on is not None:
        yield name, "inherits from another mapped class", "give each read model a table of its own"
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if not isinstance(column, Column) or column.table is not mapper.local_table:
            fix = "make it a property of the model, or compute it in a handler"
            yield f"{name}.{attribute.key}", "is computed by the database", fix
        else:
            yield from _column_refusals(f"{name}.{attribute.key}", column)


def _column_refusals(name: str, column: Column[Any]) -> Iterator[tuple[str, str, str]]:
    in_handler = "set it in a handler, from event.meta.at for a time"
    if column.computed is not None or column.identity is not None:
        yield name, "is computed by the database", "compute it in a handler"
    elif column.server_default is not None or column.server_onupdate is not None:
        yield name, "gets its default from the database, after the fold", f"say default=<a constant>, or {in_handler}"
    elif column.onupdate is not None:
        yield name, "has an onupdate, which a rebuild would run again", in_handler
    elif column.default is not None and not column.default.is_scalar:
        yield name, "has a default that is computed: a rebuild would give other values", in_handler
    elif column.foreign_keys:
        fix = "leave the foreign key out: rows of two projections arrive in no common order"
        yield name, "has a foreign key, and rows it points to may come later", fix
    elif isinstance(column.type, sqlalchemy.Enum) and column.type.native_enum:
        yield name, "is an enum type of the database, which generations cannot share", "say native_enum=False"
    elif isinstance(column.type, ARRAY):
        yield name, "is an array, which SQLite does not have", "use JSON, as in Mapped[list[str]]"


# -------------------------------------------------------------------- twins


def twin(model: type[R]) -> type[R]:
    """An uninstrumented class with the columns of ``model`` in slots, its plain methods and properties.

    Folding on it is some twenty times faster than on instances of the model. It is no subclass of the model;
    ``==`` compares columns. Reading a column that was never set raises
    :class:`~eventstore.errors.IncompleteRow`.
    """
    columns = tuple(columns_of(model))
    members: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        if base not in ReadModel.__mro__:
            members |= {name: member for name, member in _plain_members(base) if name not in columns}
    members |= {"__slots__": columns, "__module__": model.__module__, "__doc__": model.__doc__}
    members |= {"__getattr__": _missing, "__repr__": _shown, "__eq__": _equal, "__hash__": None}
    return typing.cast(type[R], type(model.__name__, (), members))


def _plain_members(base: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(base).items():
        if name.startswith(("__", "_sa_")):
            continue
        if isinstance(member, hybrid_property):
            yield name, property(member.fget)
        elif isinstance(member, (FunctionType, property, staticmethod, classmethod)) or _is_constant(member):
            yield name, member


def _is_constant(member: Any) -> bool:
    return not hasattr(member, "__get__") and not isinstance(member, (sqlalchemy.MetaData, sqlalchemy.orm.registry))


def _missing(row: Any, name: str) -> Any:
    if name not in type(row).__slots__:
        raise AttributeError(f"{type(row).__name__} has no column or attribute {name!r}", name=name, obj=row)
    raise IncompleteRow(
        f"{type(row).__name__}.{name} was read before any event set it",
        "the row is fresh: no event that sets it came first",
        "give the column a default, or set it in the handler of the event that comes first",
    )


def _set_columns(row: Any) -> dict[str, Any]:
    found = {}
    for name in type(row).__slots__:
        try:
            found[name] = object.__getattribute__(row, name)
        except AttributeError:
            continue
    return found


def _shown(row: Any) -> str:
    return f"{type(row).__name__}({', '.join(f'{name}={value!r}' for name, value in _set_columns(row).items())})"


def _equal(row: Any, other: Any) -> Any:
    return _set_columns(row) == _set_columns(other) if type(row) is type(other) else NotImplemented
