"""The half of an application that opens: its parts, its settings, its database."""

from __future__ import annotations

import threading
from functools import cached_property
from types import TracebackType
from typing import Self

from eventstore.model.stream import check_name
from headwater.parts import Part, Parts, sort_parts
from headwater.preparing import prepare
from headwater.resources import Resources
from headwater.settings import Configuration, load_settings


class Host:
    """Opens the database of an application when it is first used, once a process."""

    def __init__(self, name: str, *parts: Part, database: str | None = None, partitions: int | None = None) -> None:
        self.name = check_name(name, "an application")
        self.parts: Parts = sort_parts(parts)
        self._database, self._partitions = database, partitions
        self._opening = threading.Lock()
        self._resources: Resources | None = None

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    @cached_property
    def configuration(self) -> Configuration:
        """The settings, with the origin of each."""
        return load_settings()

    @property
    def database(self) -> str:
        """The URL of the database. It may hold a password: do not print it."""
        return self._database or self.configuration.settings.database or f"sqlite:///{self.name}.db"

    @property
    def partitions(self) -> int:
        """The number of partitions of each topic."""
        return self._partitions or self.configuration.settings.partitions

    @property
    def is_open(self) -> bool:
        """Whether this process has the database open."""
        return self._resources is not None and not self._resources.inherited

    @property
    def resources(self) -> Resources:
        """The open database. The first use prepares it."""
        found = self._resources
        if found is not None and not found.inherited:
            return found
        with self._opening:
            if self._resources is not None and self._resources.inherited:
                self._resources.abandon()
                self._resources = None
            if self._resources is None:
                opened = Resources(self.name, self.database)
                try:
                    prepare(opened, self.parts, self.partitions)
                except BaseException:
                    opened.close()
                    raise
                self._resources = opened
            return self._resources

    def prepare(self) -> None:
        """Make or migrate headwater's tables, the topics, and the tables of read models. Costs little when done."""
        prepare(self.resources, self.parts, self.partitions)

    def close(self) -> None:
        """Finish what was submitted and close every connection. The next use opens it again."""
        with self._opening:
            open_, self._resources = self._resources, None
        if open_ is not None:
            open_.abandon() if open_.inherited else open_.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
