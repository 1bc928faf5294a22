"""What the legacy database tells the shop, in the shop's own words."""

from __future__ import annotations

from decimal import Decimal

from headwater import Event


class ProductListed(Event, name="product-listed"):
    name: str
    price: Decimal
    currency: str


class PriceChanged(Event, name="price-changed"):
    old: Decimal
    new: Decimal


class ProductRenamed(Event, name="product-renamed"):
    name: str


class CurrencyChanged(Event, name="currency-changed"):
    currency: str


class ProductRenumbered(Event, name="product-renumbered"):
    """The product goes on under another number; the last event of the old one's stream."""

    sku: str


class ProductWithdrawn(Event, name="product-withdrawn"): ...


class StockOpened(Event, name="stock-opened"):
    """A warehouse begins to keep a product."""

    sku: str
    quantity: int


class StockAdjusted(Event, name="stock-adjusted"):
    sku: str
    by: int


class StockClosed(Event, name="stock-closed"):
    """A warehouse keeps a product no longer; ``quantity`` was left."""

    sku: str
    quantity: int


class CustomerRegistered(Event, name="customer-registered"):
    name: str
    email: str | None
    segment: str


class CustomerRenamed(Event, name="customer-renamed"):
    name: str


class CustomerEmailChanged(Event, name="customer-email-changed"):
    email: str | None


class CustomerSegmentChanged(Event, name="customer-segment-changed"):
    segment: str


class CustomerLeft(Event, name="customer-left"): ...
