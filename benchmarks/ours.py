"""headwater: commands on an aggregate, and a projection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from sqlalchemy.orm import Mapped, mapped_column

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
from headwater import Aggregate, App, Command, Event, Projection, ReadModel, applies, handles


class OrderPlaced(Event):
    customer_id: int
    note: str


class ItemAdded(Event):
    customer_id: int
    sku: str
    quantity: int
    price: int
    note: str


class PlaceOrder(Command):
    order_id: int
    customer_id: int
    note: str


class AddItem(Command):
    order_id: int
    customer_id: int
    sku: str
    quantity: int
    price: int
    note: str


class Order(Aggregate, category="order", snapshot_every=0):
    lines: int = 0
    total: int = 0

    @handles(PlaceOrder, new=True)
    def place(self, command: PlaceOrder) -> Event:
        return OrderPlaced(customer_id=command.customer_id, note=command.note)

    @handles(AddItem)
    def add_item(self, command: AddItem) -> Event:
        return ItemAdded(
            customer_id=command.customer_id,
            sku=command.sku,
            quantity=command.quantity,
            price=command.price,
            note=command.note,
        )

    @applies(OrderPlaced)
    def placed(self, event: OrderPlaced) -> None: ...

    @applies(ItemAdded)
    def item_added(self, event: ItemAdded) -> None:
        self.lines += 1
        self.total += event.quantity * event.price


class OrderSummary(ReadModel):
    __tablename__ = "order_summary"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    lines: Mapped[int]
    total: Mapped[int]


summary = Projection("order-summary", into=OrderSummary)


@summary.on(OrderPlaced)
def placed(row: OrderSummary, event: OrderPlaced) -> None:
    row.customer_id, row.lines, row.total = event.customer_id, 0, 0


@summary.on(ItemAdded)
def item_added(row: OrderSummary, event: ItemAdded) -> None:
    row.lines += 1
    row.total += event.quantity * event.price


def _place(order: int) -> PlaceOrder:
    return PlaceOrder(order_id=order, customer_id=CUSTOMER, note=NOTE)


def _add(order: int) -> AddItem:
    return AddItem(order_id=order, customer_id=CUSTOMER, sku=SKU, quantity=QUANTITY, price=PRICE, note=NOTE)


def _events(first: int, end: int) -> list[Event]:
    """The events of versions ``first`` to before ``end`` of an order."""
    item = ItemAdded(customer_id=CUSTOMER, sku=SKU, quantity=QUANTITY, price=PRICE, note=NOTE)
    placed = OrderPlaced(customer_id=CUSTOMER, note=NOTE)
    return [placed if version == 1 else item.model_copy() for version in range(first, end)]


class Ours:
    """Implements :class:`~benchmarks.contender.Contender` with an application of headwater."""

    def __init__(self, database: Database) -> None:
        self._app = App("bench", Order, summary, database=database.url)
        self._app.prepare()
        self._numbers = count(1_000_000)
        self._seen = 0

    def saver(self, order: int) -> Callable[[], object]:
        self._app.execute(_place(order))
        return lambda: self._app.execute(_add(order))

    def fill(self, first: int, orders: int, events: int) -> None:
        step = events if orders == 1 else 1
        for version in range(1, events + 1, step):
            self._app.append({f"order-{first + n}": _events(version, version + step) for n in range(orders)})

    def load(self, order: int) -> int:
        return self._app.state(Order, order).lines

    def rebuild(self, seconds: float) -> float:
        began = time.perf_counter()
        self._app.rebuild(summary)
        return self.projected() / (time.perf_counter() - began)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._app.running():
            yield

    def append_group(self) -> None:
        orders = [next(self._numbers) for _ in range(ORDERS_OF_A_GROUP)]
        self._app.append({f"order-{order}": _events(1, EVENTS_OF_AN_ORDER + 1) for order in orders})

    def projected(self) -> int:
        (status,) = self._app.status()
        return sum(status.position.values())

    def save_and_see(self) -> None:
        if not self._seen:
            self._seen = next(self._numbers)
            self._app.execute(_place(self._seen), wait=summary)
        self._app.execute(_add(self._seen), wait=summary)

    def close(self) -> None:
        self._app.close()
