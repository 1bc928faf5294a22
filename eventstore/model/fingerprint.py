"""Fingerprints of code: what a function does, with everything of the application's own that it uses.

A function's fingerprint covers its code, defaults and closure, and, step by step, the functions, classes and
constants it names, as far as they belong to the same top-level package; of anything else only the name
counts. Comments, docstrings, annotations, blank lines and moves within a file do not change it, nor does
another Python version as long as the source can be read; without source the bytecode is taken.

What is found only when the code runs is not covered: imports inside a function, ``getattr`` by a computed
name, data read from files. An application says such a change with ``version=``.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import linecache
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from re import Pattern
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from uuid import UUID

_PLAIN = (bool, int, float, complex, str, bytes, date, time, timedelta, tzinfo, Decimal, Fraction, UUID, PurePath)
_READ_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_UNSEEN_FIELDS = frozenset({"annotation", "returns", "type_comment", "type_params", "kind", "ctx"})
# What a class body leaves behind that says nothing about what the class does.
_BOOKKEEPING = frozenset({"__doc__", "__module__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__"})


def fingerprint(function: Callable[..., Any]) -> str:
    """32 hexadecimal digits that change when ``function``, or code and constants it uses, change."""
    package = (getattr(function, "__module__", None) or type(function).__module__).partition(".")[0]
    return hashlib.sha256(_Walk(package).describe(function).encode()).hexdigest()[:32]


class _Walk:
    """Describes values as text that is the same in every process; a second visit only says the name."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._seen: dict[int, Any] = {}  # holds the objects, so that no id is used twice

    def describe(self, value: Any) -> str:
        if value is None or value is Ellipsis:
            return repr(value)
        if isinstance(value, Enum):
            return f"{self._name(type(value))}.{value.name}={value.value!r}"
        if isinstance(value, _PLAIN):
            return f"{type(value).__name__}:{value!r}"
        if isinstance(value, Pattern):
            return f"pattern:{value.pattern!r}/{value.flags}"
        if isinstance(value, CodeType):
            return self._code(value)
        if id(value) in self._seen:
            return f"again:{self._name(value)}"
        self._seen[id(value)] = value
        return self._compound(value)

    def _compound(self, value: Any) -> str:
        if isinstance(value, Mapping):
            return f"{{{','.join(sorted(f'{self.describe(k)}:{self.describe(v)}' for k, v in value.items()))}}}"
        if isinstance(value, (set, frozenset)):
            return f"set({','.join(sorted(map(self.describe, value)))})"
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}({','.join(map(self.describe, value))})"
        if isinstance(value, functools.partial):
            return f"partial{self.describe((value.func, value.args, value.keywords))}"
        if isinstance(value, MethodType):
            return f"method{self.describe((value.__func__, value.__self__))}"
        if isinstance(value, (staticmethod, classmethod)):
            return f"{type(value).__name__}{self.describe(value.__func__)}"
        if isinstance(value, property):
            return f"property{self.describe((value.fget, value.fset, value.fdel))}"
        if isinstance(value, FunctionType):
            return self._function(value) if self._ours(value) else self._name(value)
        if isinstance(value, type):
            return self._class(value) if self._ours(value) else self._name(value)
        if callable(value) and "__wrapped__" in getattr(value, "__dict__", {}):
            return f"wrapped{self.describe(value.__wrapped__)}"
        if not self._ours(type(value)):
            return self._name(value)
        return f"{self.describe(type(value))}{self.describe(_state(value))}"

    def _ours(self, value: Any) -> bool:
        return (getattr(value, "__module__", None) or "").partition(".")[0] == self._package

    def _name(self, value: Any) -> str:
        """Of what is ours without the module: a script has another name as ``__main__``."""
        named = value if hasattr(value, "__qualname__") else type(value)
        name: str = named.__qualname__
        return name if self._ours(named) else f"{named.__module__}.{name}"

    def _function(self, function: FunctionType) -> str:
        parts = [self._code(function.__code__), self.describe((function.__defaults__, function.__kwdefaults__))]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            parts.append(f"{name}={self.describe(_cell(cell))}")
        names = sorted(set(_global_names(function.__code__)))
        for name in names:
            if name in function.__globals__:
                parts.append(f"{name}={self._global(function.__globals__[name], function.__code__)}")
        return f"function({';'.join(parts)})"

    def _global(self, value: Any, code: CodeType) -> str:
        """Of a module of the package, what the code may take from it."""
        if not isinstance(value, ModuleType):
            return self.describe(value)
        if value.__name__.partition(".")[0] != self._package:
            return f"module:{value.__name__}"
        used = sorted(name for name in set(_names(code)) if name in vars(value))
        return f"module({','.join(f'{name}={self.describe(vars(value)[name])}' for name in used)})"

    def _class(self, cls: type) -> str:
        parts = [self._name(cls), *map(self.describe, cls.__bases__)]
        for name, member in sorted(vars(cls).items()):
            if name in _BOOKKEEPING or (name.startswith("__") and not isinstance(member, FunctionType)):
                continue
            parts.append(f"{name}={self.describe(member)}")
        return f"class({';'.join(parts)})"

    def _code(self, code: CodeType) -> str:
        node = _source(code)
        return f"source:{_dump_definition(node)}" if node is not None else f"bytecode:{self._bytecode(code)}"

    def _bytecode(self, code: CodeType) -> str:
        """Opcodes with what they mean, not with indexes: a docstring is a constant that nothing loads."""
        steps = [
            f"{step.opname} {self.describe(step.argval) if step.argval is not None else ''}"
            for step in dis.get_instructions(code)
        ]
        return f"{code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]}:{';'.join(steps)}"


def _state(value: Any) -> Mapping[str, Any]:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in fields(value)}
    return getattr(value, "__dict__", {})


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _global_names(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in _READ_GLOBAL:
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _global_names(inner)


# -------------------------------------------------------------------- source


def _source(code: CodeType) -> ast.AST | None:
    """The syntax tree ``code`` was compiled from, or None when its source cannot be read."""
    linecache.checkcache(code.co_filename)
    found = _definitions("".join(linecache.getlines(code.co_filename))).get((code.co_firstlineno, code.co_name), [])
    if len(found) > 1:
        found = sorted((node for node in found if _encloses(node, code)), key=_length)
    return found[0] if found else None


@functools.lru_cache(maxsize=64)
def _definitions(text: str) -> dict[tuple[int, str], list[ast.AST]]:
    """All functions of a module by the line that their code begins at, and their name."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    found: dict[tuple[int, str], list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((first, node.name), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).append(node)
    return found


def _encloses(node: Any, code: CodeType) -> bool:
    """Whether every instruction of ``code`` comes from the body of the lambda ``node``."""
    if not isinstance(node, ast.Lambda):
        return True
    body: Any = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return all(
        begin <= (line, column) <= end
        for line, _, column, end_column in code.co_positions()
        if line is not None and column is not None and end_column
    )


def _length(node: Any) -> tuple[int, int]:
    return node.end_lineno - node.lineno, node.end_col_offset - node.col_offset


def _dump_definition(node: ast.AST) -> str:
    """A function without its decorators: those that matter have replaced it by what they made."""
    return ";".join(_dump(value) for name, value in ast.iter_fields(node) if name in ("args", "body"))


def _dump(node: Any) -> str:
    """A tree as text without positions, docstrings, annotations and what is empty."""
    if isinstance(node, list):
        return f"[{','.join(_dump(each) for each in node if not _is_remark(each))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if value in (None, []) or name in _UNSEEN_FIELDS:
            continue
        parts.append(f"{name}={_dump(value)}")
    return f"({' '.join(parts)})"


def _is_remark(statement: ast.AST) -> bool:
    """A docstring, or any other constant that stands for itself."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
