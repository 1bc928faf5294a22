"""The raw limit: the statements that cannot be left out, by hand, without any guard.

No expected versions, no ids, no metadata, no leases, no dead letters, and nobody but the benchmark writes.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import orjson

from benchmarks.contender import (
    CUSTOMER,
    EVENTS_OF_AN_ORDER,
    NOTE,
    ORDERS_OF_A_GROUP,
    PRICE,
    QUANTITY,
    SKU,
    Database,
)

PAGE = 500
LOOK_SECONDS = 0.001
ROWS = """
CREATE TABLE order_summary
(order_id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL, lines INTEGER NOT NULL, total INTEGER NOT NULL)
"""


class NewEvent(NamedTuple):
    """A row to be inserted."""

    stream: str
    version: int
    type: str
    data: str


def _event(order: int, version: int) -> NewEvent:
    data: dict[str, object] = {"customer_id": CUSTOMER, "note": NOTE}
    if version > 1:
        data |= {"sku": SKU, "quantity": QUANTITY, "price": PRICE}
    return NewEvent(str(order), version, "ItemAdded" if version > 1 else "OrderPlaced", orjson.dumps(data).decode())


class Raw(ABC):
    """Implements :class:`~benchmarks.contender.Contender` with a driver's connections."""

    def __init__(self, database: Database) -> None:
        self.url = database.url
        self._writer, self._reader = self.connect(), self.connect()
        self._rows: dict[str, list[Any]] = {}
        self._done = 0
        self._numbers = count(1_000_000)
        self._last: tuple[int, int] | None = None
        self._insert_one = self.inserter()
        self._stored, self._folded = threading.Event(), threading.Condition()

    # ---------------------------------------------------------------- what the databases do differently

    @abstractmethod
    def connect(self) -> Any:
        """A connection of its own."""

    @abstractmethod
    def inserter(self) -> Callable[[NewEvent], int]:
        """What a thread stores single events with; it returns their positions."""

    @abstractmethod
    def insert(self, connection: Any, events: Sequence[NewEvent]) -> None:
        """Store events in one transaction."""

    @abstractmethod
    def page(self, connection: Any, after: int) -> Sequence[tuple[int, str, str, Any]]:
        """Position, stream, type and data of the next events."""

    @abstractmethod
    def stream(self, connection: Any, stream: str) -> Sequence[tuple[str, Any]]:
        """Type and data of the events of a stream."""

    @abstractmethod
    def write(self, connection: Any, rows: Sequence[Sequence[Any]], done: int) -> None:
        """Replace rows and the position in one transaction."""

    @abstractmethod
    def clear(self, connection: Any) -> None:
        """Delete all rows."""

    # ---------------------------------------------------------------- the same on both

    def saver(self, order: int) -> Callable[[], object]:
        insert, versions = self.inserter(), count(2)
        insert(_event(order, 1))
        return lambda: insert(_event(order, next(versions)))

    def fill(self, first: int, orders: int, events: int) -> None:
        step = events if orders == 1 else 1
        for version in range(1, events + 1, step):
            turns = range(version, version + step)
            self.insert(self._writer, [_event(first + n, turn) for turn in turns for n in range(orders)])

    def load(self, order: int) -> int:
        lines = total = 0
        for type_, data in self.stream(self._reader, str(order)):
            item = orjson.loads(data)
            if type_ == "ItemAdded":
                lines, total = lines + 1, total + item["quantity"] * item["price"]
        return lines

    def rebuild(self, seconds: float) -> float:
        began = time.perf_counter()
        self.clear(self._reader)
        self._rows, self._done, done = {}, 0, 0
        while folded := self._fold_page():
            done += folded
        return done / (time.perf_counter() - began)

    def _fold_page(self) -> int:
        found = self.page(self._reader, self._done)
        if not found:
            return 0
        rows = self._rows
        changed: dict[str, list[Any]] = {}
        for _, order, type_, data in found:
            event = orjson.loads(data)
            if type_ == "OrderPlaced":
                rows[order] = [order, event["customer_id"], 0, 0]
            else:
                row = rows[order]
                row[2] += 1
                row[3] += event["quantity"] * event["price"]
            changed[order] = rows[order]
        self.write(self._reader, list(changed.values()), found[-1][0])
        with self._folded:
            self._done = found[-1][0]
            self._folded.notify_all()
        return len(found)

    @contextmanager
    def running(self) -> Iterator[None]:
        stopping = threading.Event()
        thread = threading.Thread(target=self._follow, args=[stopping], name="raw-projection")
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _follow(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._stored.clear()
            if not self._fold_page():
                self._stored.wait(LOOK_SECONDS)

    def append_group(self) -> None:
        orders = [next(self._numbers) for _ in range(ORDERS_OF_A_GROUP)]
        versions = range(1, EVENTS_OF_AN_ORDER + 1)
        self.insert(self._writer, [_event(order, version) for order in orders for version in versions])

    def projected(self) -> int:
        return self._done

    def save_and_see(self) -> None:
        order, version = self._last or (next(self._numbers), 0)
        self._last = order, version + 1
        position = self._insert_one(_event(order, version + 1))
        self._stored.set()
        with self._folded:
            self._folded.wait_for(lambda: self._done >= position)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
