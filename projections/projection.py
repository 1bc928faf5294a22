"""Projections: which event changes which rows of a read model, and how.

::

    summary = Projection("order-summary", into=OrderSummary)

    @summary.on(OrderPlaced)                        # the row whose key is the stream's: event.meta.key
    def placed(row: OrderSummary, event: OrderPlaced) -> None:
        row.status, row.total = "placed", event.total

    @summary.on(OrderCancelled)
    def cancelled(row: OrderSummary, event: OrderCancelled) -> Delete:
        return DELETE
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Set
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, overload

from sqlalchemy import JSON
from sqlalchemy.orm import InstrumentedAttribute

from eventstore.errors import DeclarationError
from eventstore.model.message import Event, check_upcasters
from eventstore.model.stream import check_name
from projections.model import Delete
from projections.shape import Shape

R = TypeVar("R")
E = TypeVar("E", bound=Event)
K = TypeVar("K")
L = TypeVar("L")
RowHandler: TypeAlias = Callable[[R, E], Delete | None]
LookupHandler: TypeAlias = Callable[[R, E, L | None], Delete | None]


class Lookup(NamedTuple):
    """A row of another read model that a handler is given: its shape, and its key in the event."""

    shape: Shape
    key: Callable[[Any], object]


class Where(NamedTuple):
    """The column that chooses the rows, and the value in the event that it must equal."""

    column: str
    value: Callable[[Any], object]


class Rule(NamedTuple):
    """What one event does: ``function`` folds it into the rows that ``key`` or ``where`` say.

    Neither: the row whose key is the stream's.
    """

    event: type[Event]
    function: Callable[..., Any]
    key: Callable[[Any], object] | None = None
    where: Where | None = None
    lookup: Lookup | None = None


class Projection(Generic[R]):
    """The fold of events into rows of ``into``, a :class:`~projections.model.ReadModel`.

    ``name`` is ``[a-z][a-z0-9-]*`` and names its pipeline. ``version`` is raised to have the rows folded anew
    for a reason that its code does not show. Handlers may change nothing but their row, and depend on nothing
    but their arguments: they run again in a rebuild, and whenever a batch is repeated.
    """

    def __init__(self, name: str, *, into: type[R], version: int = 1) -> None:
        self.name, self.into, self.version = check_name(name, "a projection"), into, version
        self.shape = Shape(into)
        self.rules: dict[type[Event], tuple[Rule, ...]] = {}

    def __repr__(self) -> str:
        return f"Projection({self.name!r}, into={self.into.__name__})"

    @overload
    def on(
        self, event: type[E], *, key: Callable[[E], object] | None = None
    ) -> Callable[[RowHandler[R, E]], RowHandler[R, E]]: ...
    @overload
    def on(
        self, event: type[E], *, key: Callable[[E], object] | None = None, lookup: tuple[type[L], Callable[[E], object]]
    ) -> Callable[[LookupHandler[R, E, L]], LookupHandler[R, E, L]]: ...
    @overload
    def on(
        self, event: type[E], *, where: tuple[InstrumentedAttribute[K], Callable[[E], K]]
    ) -> Callable[[RowHandler[R, E]], RowHandler[R, E]]: ...
    @overload
    def on(
        self,
        event: type[E],
        *,
        where: tuple[InstrumentedAttribute[K], Callable[[E], K]],
        lookup: tuple[type[L], Callable[[E], object]],
    ) -> Callable[[LookupHandler[R, E, L]], LookupHandler[R, E, L]]: ...
    def on(self, event: Any, *, key: Any = None, where: Any = None, lookup: Any = None) -> Any:
        """Declare what ``event``, of exactly this class, does to a row; the decorated function is kept as it is.

        The function gets the stored row, or a fresh one with its key and defaults, and the event. It changes
        the row and returns nothing, or returns ``DELETE``.

        - ``key``: which row, from the event; a tuple is a primary key of several columns, a **list** is
          several keys, whose rows all get the event. Default: the key of the event's stream.
        - ``where=(Model.column, function)``: instead of ``key``, every row there is whose column equals the
          function's value; none when that is None.
        - ``lookup=(Other, function)``: the row of another read model with that key, or None, comes as third
          argument, to be read only. It is as committed when the batch is folded: a rebuild finds it as it
          is by then, so what is taken from it must not matter in time, or be mended by an event of its own.

        An event may have several handlers when they choose rows differently; they run as declared.
        """

        check_event(self, event)

        def register(function: Any) -> Any:
            check_plain(self, function)
            self._add(Rule(event, function, key, self._where(where), self._lookup(lookup)))
            return function

        return register

    @property
    def events(self) -> Set[type[Event]]:
        """The events it folds."""
        return self.rules.keys()

    @property
    def where_columns(self) -> list[str]:
        """The columns that rows are chosen by, beside their keys."""
        rules = (rule for rules in self.rules.values() for rule in rules)
        return sorted({rule.where.column for rule in rules if rule.where is not None})

    @property
    def by_stream(self) -> bool:
        """Whether every row is changed by the one key of a stream only."""
        return all(rule.key is None and rule.where is None for rules in self.rules.values() for rule in rules)

    def _add(self, rule: Rule) -> None:
        if rule.key is not None and rule.where is not None:
            raise DeclarationError(
                f"{self!r} has both key= and where= for {rule.event.__name__}", "each says which rows", "choose one"
            )
        if rule.key is None and rule.where is None and self.shape.width > 1:
            raise DeclarationError(
                f"{self!r} needs key= for {rule.event.__name__}",
                f"a stream has one key, and the primary key is {', '.join(self.shape.names[: self.shape.width])}",
                "say key=lambda event: (…, …)",
            )
        others = self.rules.get(rule.event, ())
        if any(other.key is rule.key and other.where == rule.where for other in others):
            raise DeclarationError(
                f"{self!r} folds {rule.event.__name__} twice",
                f"{others[0].function.__name__} and {rule.function.__name__} choose the same row",
                "make one handler of them",
            )
        self.rules[rule.event] = (*others, rule)

    def _where(self, where: Any) -> Where | None:
        if where is None:
            return None
        if not isinstance(where, tuple):
            raise DeclarationError(
                f"{self!r} cannot choose rows by {where}",
                "it does not say which value of the event the column must equal",
                "where=(<Model>.<column>, lambda event: event.…)",
            )
        attribute, value = where
        name = getattr(attribute, "key", None)
        if getattr(attribute, "class_", None) is not self.into or name not in self.shape.names:
            raise DeclarationError(f"{self!r} cannot choose rows by {attribute}", f"it is no column of {self.into}")
        if isinstance(self.shape.columns[self.shape.names.index(name)].type, JSON):
            raise DeclarationError(f"{self!r} cannot choose rows by {attribute}", "a JSON column has no equality")
        return Where(name, value)

    def _lookup(self, lookup: Any) -> Lookup | None:
        if lookup is None:
            return None
        model, key = lookup
        if model is self.into:
            raise DeclarationError(
                f"{self!r} looks up its own rows",
                "a lookup shows what is committed, and rows change within a batch",
                "choose the rows by key= or where=",
            )
        return Lookup(Shape(model), key)


def check_event(projection: object, event: Any) -> None:
    """Refuse what is no event with versions that can be read; else ``@summary.on`` without its event did nothing."""
    if inspect.isfunction(event):
        raise DeclarationError(
            f"{projection!r}: .on above {event.__name__} does not say of which event",
            "it takes the class",
            "@….on(<event class>)",
        )
    if not (isinstance(event, type) and issubclass(event, Event)):
        name = getattr(event, "__name__", repr(event))
        raise DeclarationError(
            f"{projection!r} cannot fold {name}",
            "it is no event",
            f"give what its command leads to, or class {name}(Event)",
        )
    check_upcasters(event)


def check_plain(projection: object, function: Any) -> None:
    """Refuse a handler that would have to be awaited."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(
            f"{projection!r}: the handler {function.__name__} is async",
            "handlers fold what they are given and wait for nothing",
            f"def {function.__name__}(…)",
        )
