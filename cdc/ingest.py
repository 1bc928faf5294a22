"""What an application declares about a source: which tables it reads, and what it makes of their changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel
from sqlalchemy import Table
from sqlalchemy.orm import DeclarativeBase

from cdc.change import Change
from cdc.declared import declared_from
from cdc.envelope import DEFAULT_MAX_BYTES
from cdc.message import RowMessage
from cdc.placeholder import DEFAULT_PLACEHOLDER
from cdc.types import Type
from eventstore.errors import DeclarationError, UnknownTable
from eventstore.model.message import Event
from eventstore.model.stream import check_category, check_name

R = TypeVar("R", bound=BaseModel)
MAX_NAME_BYTES = 63
"""What PostgreSQL keeps of a name."""
_SIGNAL_COLUMNS = {"id", "type", "data"}


class Addressed(NamedTuple):
    """An event for the stream of another key than the change's."""

    key: object
    event: Event


def to(key: object, event: Event) -> Addressed:
    """Address ``event`` to the stream of another ``key`` of the same category.

    The events of a change go to the stream of its row; those of a Rekeyed to the stream of the *new* key.
    So that the old stream says where the row went::

        case Rekeyed(before=b, after=a):
            yield to(b.sku, ProductRenumbered(sku=a.sku))
            yield ProductListed(name=a.name, price=a.price)
    """
    return Addressed(key, event)


Translate: TypeAlias = Callable[[Change[R]], Iterable[Event | Addressed]]


@dataclass(frozen=True, slots=True)
class Translator(Generic[R]):
    """How changes of a table become events: its rows typed by ``row``, streams ``<category>-<key(row)>``."""

    row: type[R]
    category: str
    key: Callable[[R], object]
    translate: Translate[R]


MirrorTarget: TypeAlias = str | Table | type[DeclarativeBase]


@dataclass(slots=True)
class SourceTable:
    """A table of the source, named ``schema.table``, and what is done with it. Neither: it is ignored."""

    name: str
    translator: Translator[Any] | None = None
    mirror: str | Table | None = None
    types: dict[str, Type] = field(default_factory=dict)


class Ingest:
    """Reads Debezium's changes of one source database, and makes events and mirrors of them.

    ``name`` names the pipeline, so it stays as it is for ever. ``topics``: a regular expression that a
    topic matches whole; a change from another topic, or of a table that is not declared, is an
    :class:`~eventstore.errors.UnknownTable`. ::

        legacy = Ingest("legacy-shop", topics=r"legacy\\.public\\..*")

        @legacy.table("public.product", row=ProductRow, category="product", key=lambda row: row.sku)
        def product(change: Change[ProductRow]) -> Iterable[Event]: ...

        legacy.mirror("public.stock")
        legacy.ignore("public.audit")

    ``placeholder``: the connector's ``unavailable.value.placeholder``, if it was changed. ``max_bytes``: the
    longest key or value that is decoded; a longer one becomes a dead letter.
    """

    def __init__(
        self,
        name: str,
        topics: str = ".*",
        *,
        placeholder: str = DEFAULT_PLACEHOLDER,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self.name = check_name(name, "an ingest")
        try:
            self._topics = re.compile(topics, re.DOTALL)
        except re.error as error:
            raise DeclarationError(f"topics={topics!r} of ingest {name} is no regular expression", str(error)) from None
        self.topics = topics
        self.placeholder, self.max_bytes = placeholder, max_bytes
        self.tables: dict[str, SourceTable] = {}

    def table(
        self,
        table: str,
        *,
        row: type[R],
        category: str,
        key: Callable[[R], object],
        types: Mapping[str, Type] | None = None,
    ) -> Callable[[Translate[R]], Translate[R]]:
        """Mark the translator of a table: ``Change[row] -> Iterable[Event]``, a pure function.

        ``row``: a pydantic model; columns it does not name are left out, one it needs and does not get makes
        a dead letter. ``types``: column → type of :mod:`cdc.types`, needed where messages carry no schema.
        """

        def register(translate: Translate[R]) -> Translate[R]:
            declared = self._declare(table, types)
            if declared.translator is not None:
                raise DeclarationError(
                    f"{table} has two translators in ingest {self.name}", "a change is translated once"
                )
            declared.translator = Translator(row, check_category(category), key, translate)
            return translate

        return register

    def mirror(self, table: str, into: MirrorTarget | None = None, *, types: Mapping[str, Type] | None = None) -> None:
        """Keep a table as it is in the source.

        ``into``: the name of a table that is made from the schema of the messages (default: that of the
        source, without its schema), or a SQLAlchemy model or table, whose columns are then the ones kept.
        ``types``: as in ``table``; those of a model are known already.
        """
        _check_table(table)
        target = _target(table, into)
        if isinstance(target, Table):
            types = {**declared_from(target), **(types or {})}
        declared = self._declare(table, types)
        if declared.mirror is not None:
            raise DeclarationError(f"{table} has two mirrors in ingest {self.name}", "one table is enough")
        declared.mirror = target

    def ignore(self, table: str) -> None:
        """Skip a table knowingly."""
        declared = self._declare(table, None)
        if declared.translator is not None or declared.mirror is not None:
            raise DeclarationError(f"{table} is both ignored and used in ingest {self.name}", "it cannot be both")

    def _declare(self, table: str, types: Mapping[str, Type] | None) -> SourceTable:
        _check_table(table)
        declared = self.tables.setdefault(table, SourceTable(table))
        for column, kind in (types or {}).items():
            if declared.types.setdefault(column, kind) != kind:
                raise DeclarationError(
                    f"{column} of {table} is declared both {declared.types[column]} and {kind}", "a column has one type"
                )
        return declared

    @property
    def categories(self) -> list[str]:
        """Those that its translators write to."""
        return sorted({t.translator.category for t in self.tables.values() if t.translator is not None})

    def find(self, message: RowMessage) -> SourceTable | None:
        """What is declared for the message's table; None: nothing is to be done about it."""
        declared = self.tables.get(message.table)
        if declared is None:
            if _is_signal(message):
                return None
            raise UnknownTable(
                f"ingest {self.name} knows no table {message.table}",
                f"a change of it arrived in topic {message.topic}, and nobody declared what to do with it",
                f"declare it by .table(…), .mirror(…) or .ignore({message.table!r}), then retry",
            )
        if declared.translator is None and declared.mirror is None:
            return None
        if not self._topics.fullmatch(message.topic):
            raise UnknownTable(
                f"a change of {message.table} arrived in topic {message.topic}, which is none of ingest {self.name}",
                f"its topics are {self.topics}",
                "mend topics=, or the capture, then retry",
            )
        return declared


def is_marked(name: str) -> bool:
    """Whether a name holds what SQLAlchemy looks for in finished SQL: ``%(bind)s``, ``__[SCHEMA_x]`` and the like."""
    return "%(" in name or "__[" in name or "__EXECMANY_TOKEN__" in name


def _check_table(table: str) -> None:
    if not table or table.startswith(".") or table.endswith("."):
        raise DeclarationError(
            f"{table!r} is not the name of a table", "it is <schema>.<table>", 'as in "public.stock"'
        )


def _target(table: str, into: MirrorTarget | None) -> str | Table:
    target = table.rpartition(".")[2] if into is None else into
    if isinstance(target, str):
        if not target or "\x00" in target or len(target.encode()) > MAX_NAME_BYTES:
            raise DeclarationError(
                f"{target!r} cannot name a table", f"a name has 1 to {MAX_NAME_BYTES} bytes, and no NUL"
            )
        if is_marked(target):
            raise DeclarationError(
                f"{target!r} cannot name a table", "it holds a mark that SQLAlchemy replaces in statements"
            )
        if target.lower() == "excluded":
            raise DeclarationError(f"{target!r} cannot name a mirror", "it is the word for a new row in an upsert")
        return target
    found = getattr(target, "__table__", target)
    if not isinstance(found, Table):
        raise DeclarationError(f"{target!r} has no table to mirror into", "it is no mapped class")
    return found


def _is_signal(message: RowMessage) -> bool:
    """Rows of Debezium's signal table arrive as ordinary changes. Source: Debezium, "signalling"."""
    row = message.after or message.before
    return row is not None and set(row) == _SIGNAL_COLUMNS and "signal" in message.table.rpartition(".")[2]
