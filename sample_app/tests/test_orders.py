"""Orders: given what happened, when a command comes, then …"""

from __future__ import annotations

from decimal import Decimal

from headwater.testing import given
from sample_app.orders import (
    CancelOrder,
    Order,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
    PayOrder,
    PlaceOrder,
    ShipOrder,
)

PLACED = OrderPlaced(customer_id=7, sku="SKU-1", product="oak chair", quantity=2, total=Decimal("39.80"))
PAID = OrderPaid(amount=Decimal("39.80"))


def test_an_order_comes_to_quantity_times_price() -> None:
    given(Order).when(
        PlaceOrder(order_id="o-1", customer_id=7, sku="SKU-1", product="oak chair", quantity=2, price=Decimal("19.90"))
    ).then(PLACED)


def test_an_order_is_paid_shipped_and_done() -> None:
    given(Order, PLACED).when(PayOrder(order_id="o-1", amount=Decimal("39.80"))).then(PAID)
    given(Order, PLACED, PAID).when(ShipOrder(order_id="o-1", parcel="P-1")).then(OrderShipped(parcel="P-1"))


def test_a_wrong_amount_is_refused() -> None:
    given(Order, PLACED).when(PayOrder(order_id="o-1", amount=Decimal("39.00"))).then_rejected("comes to 39.80")


def test_an_order_is_paid_once() -> None:
    given(Order, PLACED, PAID).when(PayOrder(order_id="o-1", amount=Decimal("39.80"))).then_rejected("this one is paid")


def test_what_is_not_paid_is_not_shipped() -> None:
    given(Order, PLACED).when(ShipOrder(order_id="o-1", parcel="P-1")).then_rejected("only a paid order")


def test_a_shipped_order_cannot_be_cancelled() -> None:
    given(Order, PLACED, PAID, OrderShipped(parcel="P-1")).when(
        CancelOrder(order_id="o-1", reason="late")
    ).then_rejected("shipped order cannot be cancelled")


def test_cancelling_twice_is_no_second_event() -> None:
    given(Order, PLACED, OrderCancelled(reason="late")).when(CancelOrder(order_id="o-1", reason="again")).then()
