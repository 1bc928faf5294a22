"""Read models: what some events come to."""

from __future__ import annotations

from decimal import Decimal

from headwater.testing import fold
from sample_app.facts import PriceChanged, ProductListed, ProductWithdrawn, StockAdjusted, StockClosed, StockOpened
from sample_app.read_models import products, stock

LISTED = ProductListed(name="oak chair", price=Decimal("19.90"), currency="EUR")


def test_a_product_counts_its_price_changes() -> None:
    changes = [PriceChanged(old=Decimal("19.90"), new=Decimal(21)), PriceChanged(old=Decimal(21), new=Decimal(20))]
    (row,) = fold(products, LISTED, *changes).values()
    assert (row.price, row.price_changes) == (Decimal(20), 2)


def test_a_withdrawn_product_is_gone() -> None:
    assert fold(products, LISTED, ProductWithdrawn()) == {}


def test_stock_is_the_sum_over_warehouses() -> None:
    rows = fold(
        stock,
        StockOpened(sku="SKU-1", quantity=5),
        StockOpened(sku="SKU-1", quantity=7),
        StockAdjusted(sku="SKU-1", by=-2),
    )
    assert (rows["SKU-1"].quantity, rows["SKU-1"].warehouses) == (10, 2)


def test_a_product_that_no_warehouse_keeps_is_not_listed() -> None:
    assert fold(stock, StockOpened(sku="SKU-1", quantity=5), StockClosed(sku="SKU-1", quantity=5)) == {}
