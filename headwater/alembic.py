"""Filters for the Alembic of an application, so that its migrations leave headwater's tables alone.

On PostgreSQL those live in a schema of their own, which Alembic does not look at. SQLite has no schemas,
so in ``env.py``::

    from headwater.alembic import include_name, include_object

    context.configure(..., include_name=include_name, include_object=include_object)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from eventstore.sql.schema import SCHEMA

_OURS = re.compile(r"hw_.*|.*__g[0-9]+")


def include_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    """False for headwater's schema, its tables, and the tables behind read models."""
    if type_ == "schema":
        return name != SCHEMA
    table = name if type_ == "table" else parent_names.get("table_name")
    return not (table and _OURS.fullmatch(table))


def include_object(object: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    """False also for read models, which headwater makes itself, when their metadata is among the targets."""
    from projections import ReadModel

    table = object if type_ == "table" else getattr(object, "table", None)
    if table is None:
        return True
    if table.metadata is ReadModel.metadata or table.schema == SCHEMA:
        return False
    return not _OURS.fullmatch(table.name)
