"""Mirrors: source tables kept as they are, in step with the row images.

A mirror is what the images of its table say, so a batch's change of a mirror is the difference its images
made: one set-based delete, one set-based upsert. A table is made from the schema of the messages unless the
application gave one, and only tables that were made here, or given, are ever written: ``hw_mirror`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, insert, inspect, select
from sqlalchemy.exc import DataError, StatementError

from cdc import schema
from cdc.images import Image, ImageKey, Images
from cdc.ingest import Ingest
from cdc.message import RowMessage
from cdc.mirror_shape import Growth, MirrorColumn, MirrorShape, check_names, given_table, grown, load_shape, shape_of
from cdc.mirror_sql import Values, add_column, delete_rows, widen
from eventstore.errors import HeadwaterError, Refused
from eventstore.sql.engine import is_sqlite
from eventstore.sql.upsert import upsert


@dataclass(slots=True)
class MirrorPlan:
    """What a batch does to one mirror."""

    source: str
    name: str
    table: Table
    shape: MirrorShape | None
    growth: Growth | None
    new: bool
    gone: list[Values] = field(default_factory=list)
    there: list[Values] = field(default_factory=list)


@dataclass(slots=True)
class Made:
    """A mirror that stands: its ``shape`` is None when the application gave its table."""

    table: Table
    shape: MirrorShape | None


class Mirrors:
    """The mirrors of an ingest, as they stand."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._targets = {name: table.mirror for name, table in ingest.tables.items() if table.mirror is not None}
        self._made: dict[str, Made] = {}
        self._sqlite = False

    def load(self, connection: Connection) -> None:
        """Learn which mirrors were made."""
        self._sqlite = is_sqlite(connection)
        self._made = {}
        rows = connection.execute(select(schema.mirror).where(schema.mirror.c.ingest == self._ingest.name))
        for row in rows:
            target = self._targets.get(row.source_table)
            if isinstance(target, Table) and row.name == target.fullname:
                self._made[row.source_table] = Made(given_table(target), None)
            elif target == row.name:
                shape = load_shape(row.columns)
                self._made[row.source_table] = Made(shape.table(row.name), shape)

    def plan(self, messages: Sequence[RowMessage], images: Images) -> MirrorWork:
        """What the batch's changes of images come to. Raises :class:`Refused` for a shape that cannot be followed."""
        changed: dict[str, list[ImageKey]] = {}
        for key in images.changed:
            if key.table in self._targets and not key.moved_to:
                changed.setdefault(key.table, []).append(key)
        plans = []
        for source, target in self._targets.items():
            of_source = [message for message in messages if message.table == source]
            if not of_source and source not in changed:
                continue
            plan = self._shaped(source, target, of_source)
            if plan is None:
                if any(_rows(images.changed[key]) for key in changed.get(source, ())):
                    raise _shapeless(source)
                continue
            self._fill(plan, changed.get(source, []), images)
            if plan.new or plan.growth or plan.gone or plan.there:
                plans.append(plan)
        return MirrorWork(self._ingest.name, plans, self._made)

    def _shaped(self, source: str, target: str | Table, messages: Sequence[RowMessage]) -> MirrorPlan | None:
        """The mirror as it will be, following what the messages' schemas show."""
        made = self._made.get(source)
        if isinstance(target, Table):
            for message in messages:
                _check_key(source, target, message)
            table = given_table(target) if made is None else made.table
            return MirrorPlan(source, target.fullname, table, None, None, made is None)
        shape = None if made is None else made.shape
        added: dict[str, MirrorColumn] = {}
        widened: dict[str, MirrorColumn] = {}
        last: Any = None
        for message in messages:
            if message.columns is not None and message.columns is last:
                continue
            last = message.columns
            seen = shape_of(message, self._ingest.tables[source].types)
            if seen is None:
                continue
            if shape is None:
                shape = seen
            else:
                step = grown(source, shape, seen)
                shape = step.shape
                added |= {c.name: c for c in step.added}
                widened |= {c.name: c for c in step.widened if c.name not in added}
        if shape is None:
            return None
        check_names(source, [column.name for column in shape.columns], self._sqlite)
        if made is None:
            return MirrorPlan(source, target, shape.table(target), shape, None, True)
        if shape == made.shape:
            return MirrorPlan(source, target, made.table, shape, None, False)
        now = {column.name: column for column in shape.columns}
        growth = Growth(shape, tuple(now[n] for n in added), tuple(now[n] for n in widened))
        return MirrorPlan(source, target, shape.table(target), shape, growth, False)

    def _fill(self, plan: MirrorPlan, keys: Sequence[ImageKey], images: Images) -> None:
        if plan.new:
            for key, image in images.of_table(plan.source):
                if not key.moved_to:
                    plan.there += [_values(plan.table, row) for row in _rows(image)]
            return
        keyed = bool(plan.table.primary_key.columns)
        for key in keys:
            before, after = _rows(images.before(key)), _rows(images.changed[key])
            if keyed:
                if after and before != after:
                    plan.there.append(_values(plan.table, after[0]))
                elif before and not after:
                    plan.gone.append(_values(plan.table, before[0]))
            elif len(after) > len(before):
                plan.there += [_values(plan.table, row) for row in after[len(before) :]]
            else:
                plan.gone += [_values(plan.table, row) for row in before[len(after) :]]


@dataclass(slots=True)
class MirrorWork:
    """What a batch does to the mirrors."""

    ingest: str
    plans: list[MirrorPlan]
    made: dict[str, Made]

    def write(self, connection: Connection) -> None:
        for plan in self.plans:
            try:
                self._write(connection, plan)
            except (DataError, OverflowError) as error:
                raise _unfit(plan, error.orig if isinstance(error, DataError) else error) from error
            except StatementError as error:
                if isinstance(error.orig, HeadwaterError):  # a column type refused a value
                    raise error.orig from None
                raise

    def _write(self, connection: Connection, plan: MirrorPlan) -> None:
        if plan.new:
            self._make(connection, plan)
        elif plan.growth is not None:
            self._grow(connection, plan, plan.growth)
        if plan.gone:
            delete_rows(connection, plan.table, plan.gone)
        if plan.there:
            connection.execute(upsert(connection, plan.table), plan.there)

    def committed(self) -> None:
        for plan in self.plans:
            self.made[plan.source] = Made(plan.table, plan.shape)

    def _make(self, connection: Connection, plan: MirrorPlan) -> None:
        owner = connection.execute(select(schema.mirror).where(schema.mirror.c.name == plan.name)).first()
        given = plan.shape is None
        if owner is not None:
            raise Refused(
                f"the table {plan.name} mirrors {owner.source_table} of ingest {owner.ingest} already",
                f"so {plan.source} of ingest {self.ingest} cannot be mirrored into it",
                f"name another: .mirror({plan.source!r}, into=…)",
            )
        if not given and inspect(connection).has_table(plan.name):
            raise Refused(
                f"there is a table {plan.name} already, and headwater did not make it",
                f"a mirror of {plan.source} would write over what it holds",
                f"name another: .mirror({plan.source!r}, into=…), or give its model if it is meant",
            )
        plan.table.create(connection, checkfirst=given)
        row = {"name": plan.name, "ingest": self.ingest, "source_table": plan.source}
        connection.execute(insert(schema.mirror), row | {"columns": "" if plan.shape is None else plan.shape.dump()})

    def _grow(self, connection: Connection, plan: MirrorPlan, growth: Growth) -> None:
        for column in growth.added:
            add_column(connection, plan.table, column.name)
        for column in growth.widened:
            widen(connection, plan.table, column.name)
        update = schema.mirror.update().where(schema.mirror.c.name == plan.name)
        connection.execute(update, {"columns": growth.shape.dump()})


def _rows(image: Image | None) -> list[Values]:
    """The rows that an image stands for."""
    return [] if image is None or image.row is None else [image.row] * image.copies


def _values(table: Table, row: Values) -> Values:
    """A row for the statements above: a column that it lacks is null."""
    return {column.key: row.get(column.name) for column in table.columns}


def _check_key(source: str, target: Table, message: RowMessage) -> None:
    key = {column.name for column in target.primary_key.columns}
    if message.op != "t" and key != set(message.key or ()):
        raise Refused(
            f"the key of {source} is {', '.join(message.key or ()) or 'none'}, and that of the table {target.name} is "
            f"{', '.join(sorted(key)) or 'none'}",
            "rows of a mirror are told by their key",
            f"give {target.name} the primary key of the source",
        )


def _unfit(plan: MirrorPlan, error: BaseException | None) -> Refused:
    """The database refused a value: a schema that says less than it sends, or what the source has and we have not."""
    return Refused(
        f"a row of {plan.source} does not fit its mirror {plan.name}",
        str(error).partition("\n")[0],
        "mend the row at the source and collapse its key, or mirror the table into a model of your own",
    )


def _shapeless(source: str) -> Refused:
    return Refused(
        f"what the columns of {source} are is not known",
        "its messages carry no schema, and no model of the mirror was given",
        f"set schemas.enable=true at the converter, or declare .mirror({source!r}, into=<model>)",
    )
