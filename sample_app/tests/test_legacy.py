"""The legacy database: what its changes mean."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from headwater import Created, Deleted, Rekeyed, Updated
from headwater.testing import translate
from sample_app.facts import (
    PriceChanged,
    ProductListed,
    ProductRenamed,
    ProductRenumbered,
    ProductWithdrawn,
    StockAdjusted,
)
from sample_app.legacy import CustomerRow, ProductRow, StockRow, legacy

CHAIR = ProductRow(sku="SKU-1", name="oak chair", price=Decimal("19.90"), currency="EUR")
LISTED = ProductListed(name="oak chair", price=Decimal("19.90"), currency="EUR")


def test_a_new_row_is_a_product_that_was_listed() -> None:
    assert translate(legacy, "public.product", Created(CHAIR)) == [LISTED]


def test_every_column_that_changed_is_a_fact_of_its_own() -> None:
    after = CHAIR.model_copy(update={"name": "oak seat", "price": Decimal(21)})
    assert translate(legacy, "public.product", Updated(CHAIR, after)) == [
        ProductRenamed(name="oak seat"),
        PriceChanged(old=Decimal("19.90"), new=Decimal(21)),
    ]


def test_another_number_ends_one_stream_and_begins_another() -> None:
    after = CHAIR.model_copy(update={"sku": "SKU-2"})
    ended, begun = translate(legacy, "public.product", Rekeyed(CHAIR, after))
    assert (ended.meta.key, ended) == ("SKU-1", ProductRenumbered(sku="SKU-2"))
    assert (begun.meta.key, begun) == ("SKU-2", LISTED)


def test_a_deleted_row_is_a_product_that_was_withdrawn() -> None:
    assert translate(legacy, "public.product", Deleted(CHAIR)) == [ProductWithdrawn()]


def test_stock_is_told_by_its_difference() -> None:
    before = StockRow(sku="SKU-1", warehouse="north", quantity=5)
    after = before.model_copy(update={"quantity": 3})
    assert translate(legacy, "public.stock", Updated(before, after)) == [StockAdjusted(sku="SKU-1", by=-2)]


@pytest.mark.parametrize("change", [{"price": Decimal(-4)}, {"currency": "EU"}])
def test_a_product_with_a_negative_price_or_no_currency_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProductRow.model_validate(CHAIR.model_dump() | change)


def test_a_customer_with_no_address_is_fine_and_one_with_nonsense_is_not() -> None:
    assert CustomerRow(id=1, name="Ada", email=None, segment="gold").email is None
    with pytest.raises(ValidationError):
        CustomerRow(id=1, name="Ada", email="not an address", segment="gold")
