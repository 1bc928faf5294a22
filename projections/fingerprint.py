"""What the rows of a projection depend on, as one text: while it is the same, rows folded before still fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from eventstore.model.fingerprint import fingerprint as code_fingerprint
from projections.projection import Projection, Rule
from projections.shape import Shape


def fingerprint(projection: Projection[Any]) -> str:
    """32 hexadecimal digits over handlers, key, where and lookup functions, columns, methods and version.

    The same in every process; see :mod:`eventstore.model.fingerprint` for what of the code counts.
    """
    parts = [str(projection.version), *_shape(projection.shape), *_methods(projection.shape)]
    for event in sorted(projection.rules, key=lambda event: event.event_name):
        parts.append(event.event_name)
        for rule in projection.rules[event]:
            parts += _rule(rule)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _rule(rule: Rule) -> Iterator[str]:
    yield code_fingerprint(rule.function)
    if rule.key is not None:
        yield f"key {code_fingerprint(rule.key)}"
    if rule.where is not None:
        yield f"where {rule.where.column} {code_fingerprint(rule.where.value)}"
    if rule.lookup is not None:
        yield f"lookup {rule.lookup.shape.model.__tablename__} {code_fingerprint(rule.lookup.key)}"


def _shape(shape: Shape) -> Iterator[str]:
    for name, column in zip(shape.names, shape.columns, strict=True):
        default: Any = column.default
        told = None if default is None else default.arg
        yield f"{name} {column.name!r} {column.type!r} {column.nullable} {column.primary_key} {told!r}"


def _methods(shape: Shape) -> Iterator[str]:
    for name, member in sorted(vars(shape.twin).items()):
        if name.startswith("__"):
            continue
        functions = [member.fget, member.fset] if isinstance(member, property) else [member]
        for function in functions:
            if isinstance(function, (staticmethod, classmethod)):
                function = function.__func__
            if isinstance(function, FunctionType):
                yield f"{name} {code_fingerprint(function)}"
            elif not hasattr(member, "__get__"):
                yield f"{name} {code_fingerprint(lambda constant=member: constant)}"
