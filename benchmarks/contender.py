"""What is measured: a shop's orders, kept by each contender in its own way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

CUSTOMER = 42
NOTE = "leave it at the back door"
SKU, QUANTITY, PRICE = "SKU-0007", 2, 1999

EVENTS_OF_AN_ORDER = 4
"""Of orders that are there to be projected: one that places it, and three items."""
ORDERS_OF_A_GROUP = 100
"""Orders stored in one transaction while a projection runs."""


class Database(NamedTuple):
    """A fresh database: ``kind`` is sqlite or postgresql, ``url`` a URL of it."""

    kind: str
    url: str


class Contender(Protocol):
    """One way of keeping orders and of folding them into rows: customer, number of lines, and total of each."""

    def saver(self, order: int) -> Callable[[], object]:
        """Place the order; then a function that stores one more item of it durably. A thread has one of its own."""

    def fill(self, first: int, orders: int, events: int) -> None:
        """Store ``events`` events for each order from ``first`` on, several orders in turns, one all at once."""

    def load(self, order: int) -> int:
        """The number of lines of an order, from all of its events."""

    def rebuild(self, seconds: float) -> float:
        """Fold the log anew from its beginning; events/s. One that takes longer than ``seconds`` may stop then."""

    def running(self) -> AbstractContextManager[None]:
        """Fold what is stored for as long as the block lasts."""

    def append_group(self) -> None:
        """Store :data:`ORDERS_OF_A_GROUP` new orders of :data:`EVENTS_OF_AN_ORDER` events in one transaction."""

    def projected(self) -> int:
        """How many events are folded so far."""

    def save_and_see(self) -> None:
        """Store one event, and return when the projection that is running shows it."""

    def close(self) -> None:
        """Close everything."""
