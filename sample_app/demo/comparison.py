"""The source's tables as they stood at the end, against what became of their changes here."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Engine, column, select, table

Key: TypeAlias = tuple[str, ...]
Rows: TypeAlias = dict[Key, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many rows are equal in every column, and what is unequal about the others."""

    matching: int
    differing: Mapping[Key, str]


def rows_of_file(file: Path, *keys: str) -> Rows:
    """A table of the source, as PostgreSQL's ``COPY … CSV`` wrote it."""
    with file.open(newline="") as lines:
        return {tuple(row[key] for key in keys): row for row in csv.DictReader(lines)}


def rows_of_table(engine: Engine, name: str, columns: tuple[str, ...], *keys: str) -> Rows:
    """A mirror or read model."""
    with engine.connect() as connection:
        found = connection.execute(select(table(name, *map(column, columns)))).mappings()
        return {tuple(str(row[key]) for key in keys): dict(row) for row in found}


def summed(rows: Rows, by: str, value: str) -> Rows:
    """``value`` added up by one column."""
    sums: dict[Key, Decimal] = defaultdict(Decimal)
    for row in rows.values():
        sums[row[by],] += Decimal(row[value])
    return {key: {value: total} for key, total in sums.items()}


def compare(ours: Rows, theirs: Rows, columns: tuple[str, ...]) -> Comparison:
    """Row by row, in ``columns``."""
    differing: dict[Key, str] = {}
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in ours:
            differing[key] = "not here"
        elif key not in theirs:
            differing[key] = "not in the source any more"
        else:
            told = [_difference(name, ours[key][name], theirs[key][name]) for name in columns]
            if any(told):
                differing[key] = ", ".join(filter(None, told))
    return Comparison(len(ours.keys() | theirs.keys()) - len(differing), differing)


def _difference(name: str, ours: Any, theirs: Any) -> str:
    if _plain(ours) == _plain(theirs):
        return ""
    return f"{name} {_short(ours)} (source: {_short(theirs)})"


def _plain(value: Any) -> object:
    """Numbers as numbers, times as times, everything else as text; the files tell NULL as nothing."""
    text = "" if value is None else str(value).strip()
    for parse in (Decimal, datetime.fromisoformat):
        try:
            return parse(text)
        except (InvalidOperation, ValueError):
            continue
    return text


def _short(value: Any) -> str:
    if value in (None, ""):
        return "nothing"
    plain = _plain(value)
    text = str(plain if isinstance(plain, datetime) else value).strip()
    return text if len(text) <= 32 else text[:31] + "…"
