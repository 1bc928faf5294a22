"""The same calls for asyncio. Waiting takes no thread and never blocks the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from eventstore.model.aggregate import Aggregate
from eventstore.model.message import Command, Event
from eventstore.model.record import Position
from eventstore.model.request import Receipt
from headwater.context import Context
from projections import Projection

if TYPE_CHECKING:
    from headwater.app import App, Wait

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")
T = TypeVar("T")


class Aio:
    """``await app.aio.execute(...)``: the calls of :class:`~headwater.app.App` that may take a while."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def execute(
        self,
        command: Command,
        *,
        wait: Wait = None,
        timeout: float = 5.0,
        expected: int | None = None,
        **context: Unpack[Context],
    ) -> Receipt:
        """See :meth:`headwater.App.execute`."""
        await self._opened()
        return await asyncio.wrap_future(
            self._app.submit(command, wait=wait, timeout=timeout, expected=expected, **context)
        )

    async def get(
        self, projection: Projection[R], key: object, *, after: Receipt | Position | None = None, timeout: float = 5.0
    ) -> R | None:
        """See :meth:`headwater.App.get`."""
        await self._opened()
        return await asyncio.wrap_future(self._app.submit_get(projection, key, after=after, timeout=timeout))

    async def state(
        self, aggregate: type[A], key: object, *, version: int | None = None, at: datetime | None = None
    ) -> A:
        """See :meth:`headwater.App.state`."""
        return await self._read(lambda: self._app.state(aggregate, key, version=version, at=at))

    async def events(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """See :meth:`headwater.App.events`."""
        return await self._read(lambda: list(self._app.events(stream, after=after, limit=limit)))

    async def _read(self, call: Callable[[], T]) -> T:
        await self._opened()
        future: Future[Any] = self._app.resources.readers.submit(call)
        result: T = await asyncio.wrap_future(future)
        return result

    async def _opened(self) -> None:
        """Opening a database may take long: it is done beside the loop."""
        if not self._app.is_open:
            await asyncio.to_thread(lambda: self._app.resources)
