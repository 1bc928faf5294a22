"""The legacy database, read through Debezium: its rows as the shop accepts them, and what their changes mean.

A row that a model refuses becomes a dead letter, and later changes of its key wait behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from headwater import Addressed, Change, Created, Deleted, Event, Ingest, Rekeyed, Updated, to
from sample_app.facts import (
    CurrencyChanged,
    CustomerEmailChanged,
    CustomerLeft,
    CustomerRegistered,
    CustomerRenamed,
    CustomerSegmentChanged,
    PriceChanged,
    ProductListed,
    ProductRenamed,
    ProductRenumbered,
    ProductWithdrawn,
    StockAdjusted,
    StockClosed,
    StockOpened,
)

legacy = Ingest("legacy-shop", topics=r"legacy\.public\..*")
legacy.mirror("public.product", into="legacy_product")
legacy.mirror("public.stock", into="legacy_stock")


class ProductRow(BaseModel):
    sku: str
    name: str
    price: Decimal = Field(ge=0)
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


@legacy.table("public.product", row=ProductRow, category="product", key=lambda row: row.sku)
def product(change: Change[ProductRow]) -> Iterator[Event | Addressed]:
    match change:
        case Created(after=new):
            yield _listed(new)
        case Updated(before=old, after=new):
            if old.name != new.name:
                yield ProductRenamed(name=new.name)
            if old.price != new.price:
                yield PriceChanged(old=old.price, new=new.price)
            if old.currency != new.currency:
                yield CurrencyChanged(currency=new.currency)
        case Rekeyed(before=old, after=new):
            yield to(old.sku, ProductRenumbered(sku=new.sku))
            yield _listed(new)
        case Deleted():
            yield ProductWithdrawn()


def _listed(row: ProductRow) -> ProductListed:
    return ProductListed(name=row.name, price=row.price, currency=row.currency)


class StockRow(BaseModel):
    sku: str
    warehouse: str
    quantity: int

    @property
    def key(self) -> str:
        return f"{self.sku}/{self.warehouse}"


@legacy.table("public.stock", row=StockRow, category="stock", key=lambda row: row.key)
def stock(change: Change[StockRow]) -> Iterator[Event | Addressed]:
    match change:
        case Created(after=new):
            yield StockOpened(sku=new.sku, quantity=new.quantity)
        case Updated(before=old, after=new) if old.quantity != new.quantity:
            yield StockAdjusted(sku=new.sku, by=new.quantity - old.quantity)
        case Rekeyed(before=old, after=new):
            yield to(old.key, StockClosed(sku=old.sku, quantity=old.quantity))
            yield StockOpened(sku=new.sku, quantity=new.quantity)
        case Deleted(before=old):
            yield StockClosed(sku=old.sku, quantity=old.quantity)


class CustomerRow(BaseModel):
    id: int
    name: str
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None
    segment: str


@legacy.table("public.customer", row=CustomerRow, category="customer", key=lambda row: row.id)
def customer(change: Change[CustomerRow]) -> Iterator[Event]:
    match change:
        case Created(after=new) | Rekeyed(after=new):
            yield CustomerRegistered(name=new.name, email=new.email, segment=new.segment)
        case Updated(before=old, after=new):
            if old.name != new.name:
                yield CustomerRenamed(name=new.name)
            if old.email != new.email:
                yield CustomerEmailChanged(email=new.email)
            if old.segment != new.segment:
                yield CustomerSegmentChanged(segment=new.segment)
        case Deleted():
            yield CustomerLeft()
