"""Orders: what may happen to one, and what it takes. Pure; nothing here knows of a database."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from headwater import Aggregate, Command, Event, Rejected, applies, handles


class OrderPlaced(Event, name="order-placed"):
    """The product's name and price are the order's own from here on: what was agreed, not what is on the shelf."""

    customer_id: int
    sku: str
    product: str
    quantity: int
    total: Decimal


class OrderPaid(Event, name="order-paid"):
    amount: Decimal


class OrderShipped(Event, name="order-shipped"):
    parcel: str


class OrderCancelled(Event, name="order-cancelled"):
    reason: str


class PlaceOrder(Command):
    order_id: str
    customer_id: int
    sku: str
    product: str
    quantity: int = Field(ge=1)
    price: Decimal = Field(ge=0)


class PayOrder(Command):
    order_id: str
    amount: Decimal


class ShipOrder(Command):
    order_id: str
    parcel: str


class CancelOrder(Command):
    order_id: str
    reason: str


class Order(Aggregate, category="order"):
    status: Literal["new", "placed", "paid", "shipped", "cancelled"] = "new"
    total: Decimal = Decimal(0)

    @handles(PlaceOrder, new=True)
    def place(self, command: PlaceOrder) -> Event:
        return OrderPlaced(
            customer_id=command.customer_id,
            sku=command.sku,
            product=command.product,
            quantity=command.quantity,
            total=command.quantity * command.price,
        )

    @handles(PayOrder)
    def pay(self, command: PayOrder) -> Event:
        if self.status != "placed":
            raise Rejected(f"only a placed order can be paid, this one is {self.status}")
        if command.amount != self.total:
            raise Rejected(f"{command.amount} was paid, the order comes to {self.total}")
        return OrderPaid(amount=command.amount)

    @handles(ShipOrder)
    def ship(self, command: ShipOrder) -> Event:
        if self.status != "paid":
            raise Rejected(f"only a paid order can be shipped, this one is {self.status}")
        return OrderShipped(parcel=command.parcel)

    @handles(CancelOrder)
    def cancel(self, command: CancelOrder) -> Event | None:
        if self.status == "shipped":
            raise Rejected("a shipped order cannot be cancelled")
        if self.status == "cancelled":
            return None
        return OrderCancelled(reason=command.reason)

    @applies(OrderPlaced)
    def placed(self, event: OrderPlaced) -> None:
        self.status, self.total = "placed", event.total

    @applies(OrderPaid)
    def paid(self, event: OrderPaid) -> None:
        self.status = "paid"

    @applies(OrderShipped)
    def shipped(self, event: OrderShipped) -> None:
        self.status = "shipped"

    @applies(OrderCancelled)
    def cancelled(self, event: OrderCancelled) -> None:
        self.status = "cancelled"
