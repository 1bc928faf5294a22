"""What an application consists of, sorted, and checked against each other."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from cdc.ingest import Ingest
from eventstore.errors import DeclarationError, NotFound
from eventstore.model.aggregate import Aggregate
from eventstore.model.message import Command
from projections import Projection, SqlProjection

AnyProjection: TypeAlias = Projection[Any] | SqlProjection
Part: TypeAlias = type[Aggregate] | AnyProjection | Ingest


@dataclass(slots=True)
class Parts:
    """The parts by the names they are found under. ``routes``: which aggregate handles a command."""

    aggregates: dict[str, type[Aggregate]] = field(default_factory=dict)
    routes: dict[type[Command], type[Aggregate]] = field(default_factory=dict)
    projections: dict[str, AnyProjection] = field(default_factory=dict)
    ingests: dict[str, Ingest] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    @property
    def categories(self) -> list[str]:
        """Every category whose events this application stores."""
        return sorted({*self.aggregates, *self._of_ingests})

    @property
    def _of_ingests(self) -> set[str]:
        return {category for ingest in self.ingests.values() for category in ingest.categories}

    def read_by(self, projection: AnyProjection) -> list[str]:
        """The categories that may hold events which ``projection`` folds: all that its pipeline reads.

        An event that an aggregate applies is stored in that aggregate's streams only, or by an ingest.
        """
        folded = {
            category
            for category, aggregate in self.aggregates.items()
            if not aggregate.appliers.keys().isdisjoint(projection.events)
        }
        return sorted(folded | self._of_ingests) or self.categories

    def aggregate_for(self, command: type[Command]) -> type[Aggregate]:
        found = self.routes.get(command)
        if found is None:
            raise DeclarationError(
                f"no aggregate of this application handles {command.__name__}",
                f"it handles {_listed(c.__name__ for c in self.routes)}",
                f"add a method marked @handles({command.__name__}) to an aggregate, and pass that to App(...)",
            )
        return found

    def command(self, name: str) -> type[Command]:
        """The command class of this name; upper and lower case, ``-`` and ``_`` do not matter."""
        return _find({c.__name__: c for c in self.routes}, name, "command")

    def projection(self, given: AnyProjection | str) -> AnyProjection:
        """A projection of the application, by itself or by name."""
        if isinstance(given, str):
            return _find(self.projections, given, "projection")
        if self.projections.get(given.name) is not given:
            raise DeclarationError(
                f"the projection {given.name!r} is not part of this application",
                f"it has {_listed(self.projections)}",
                "pass it to App(...)",
            )
        return given

    def fold(self, given: Projection[Any] | str) -> Projection[Any]:
        """A projection that folds rows."""
        found = self.projection(given)
        if isinstance(found, SqlProjection):
            raise NotFound(
                f"a row of {found.name} cannot be explained",
                "its tables are written by SQL, not folded row by row",
                f"headwater projection rebuild {found.name} makes them anew",
            )
        return found

    def pipeline_name(self, given: AnyProjection | str) -> str:
        """The name of a projection's pipeline, or of an ingest's."""
        if isinstance(given, str) and given in self.ingests:
            return given
        return self.projection(given).name

    def ingest(self, name: str) -> Ingest:
        return _find(self.ingests, name, "ingest")


def sort_parts(parts: Iterable[object]) -> Parts:
    """Sort ``parts`` by what they are; :class:`DeclarationError` where two of them claim the same."""
    sorted_ = Parts()
    for part in parts:
        if isinstance(part, type) and issubclass(part, Aggregate) and part is not Aggregate:
            _add_aggregate(sorted_, part)
        elif isinstance(part, (Projection, SqlProjection)):
            _add_projection(sorted_, part)
        elif isinstance(part, Ingest):
            _add_pipeline_name(sorted_, part.name)
            sorted_.ingests[part.name] = part
        else:
            raise DeclarationError(
                f"{part!r} is not a part of an application",
                _why_not(part),
                "pass classes made from Aggregate, and what Projection(...), SqlProjection(...), Ingest(...) returned",
            )
    return sorted_


def _why_not(part: object) -> str:
    if isinstance(part, Aggregate):
        return f"it is an instance: App(...) takes the class {type(part).__name__} itself"
    if isinstance(part, type) and issubclass(part, Command):
        return "commands are found through the aggregates that handle them"
    return f"it is {'the class ' + part.__name__ if isinstance(part, type) else 'a ' + type(part).__name__}"


def _add_aggregate(parts: Parts, aggregate: type[Aggregate]) -> None:
    known = parts.aggregates.get(aggregate.category)
    if known is not None:
        raise DeclarationError(
            f"{known.__name__} and {aggregate.__name__} are both of category {aggregate.category!r}",
            "their streams would be mixed up",
            f'give one of them another: class {aggregate.__name__}(Aggregate, category="…")',
        )
    for command in aggregate.deciders:
        if command in parts.routes:
            raise DeclarationError(
                f"{parts.routes[command].__name__} and {aggregate.__name__} both handle {command.__name__}",
                "a command goes to one aggregate",
                "give each a command of its own",
            )
        parts.routes[command] = aggregate
    parts.aggregates[aggregate.category] = aggregate


def _add_projection(parts: Parts, projection: AnyProjection) -> None:
    _add_pipeline_name(parts, projection.name)
    parts.projections[projection.name] = projection
    for table in table_names(projection):
        if table in parts.tables:
            raise DeclarationError(
                f"{parts.tables[table]!r} and {projection.name!r} both write to the table {table!r}",
                "a rebuild of one would delete the rows of the other",
                "give each a table of its own",
            )
        parts.tables[table] = projection.name


def _add_pipeline_name(parts: Parts, name: str) -> None:
    if name in parts.projections or name in parts.ingests:
        raise DeclarationError(
            f"two parts are called {name!r}", "checkpoints and dead letters are kept by name", "rename one of them"
        )


def table_names(projection: AnyProjection) -> list[str]:
    """The tables that a projection writes, as declared."""
    if isinstance(projection, SqlProjection):
        return [table.name for table in projection.tables]
    return [str(projection.into.__tablename__)]


T = TypeVar("T")


def _find(known: Mapping[str, T], name: str, kind: str) -> T:
    by_spelling = {_plain(key): value for key, value in known.items()}
    if name in known:
        return known[name]
    if _plain(name) in by_spelling:
        return by_spelling[_plain(name)]
    close = difflib.get_close_matches(_plain(name), by_spelling, n=1)
    meant = next((key for key in known if close and _plain(key) == close[0]), None)
    raise NotFound(
        f"there is no {kind} {name!r}",
        f"this application has {_listed(known)}",
        f"did you mean {meant}?" if meant else "",
    )


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
