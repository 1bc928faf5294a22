"""What the shop shows: each table is a fold of events, and can be rebuilt from them at any time."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Numeric
from sqlalchemy.orm import Mapped, mapped_column

from headwater import DELETE, Delete, Projection, ReadModel
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
from sample_app.orders import OrderCancelled, OrderPaid, OrderPlaced, OrderShipped

# ---------------------------------------------------------------- products


class Product(ReadModel):
    __tablename__ = "product"
    sku: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    currency: Mapped[str]
    price_changes: Mapped[int] = mapped_column(default=0)


products = Projection("products", into=Product)


@products.on(ProductListed)
def listed(row: Product, event: ProductListed) -> None:
    row.name, row.price, row.currency = event.name, event.price, event.currency


@products.on(PriceChanged)
def repriced(row: Product, event: PriceChanged) -> None:
    row.price = event.new
    row.price_changes += 1


@products.on(ProductRenamed)
def renamed(row: Product, event: ProductRenamed) -> None:
    row.name = event.name


@products.on(CurrencyChanged)
def other_currency(row: Product, event: CurrencyChanged) -> None:
    row.currency = event.currency


@products.on(ProductRenumbered)
def renumbered(row: Product, event: ProductRenumbered) -> Delete:
    return DELETE


@products.on(ProductWithdrawn)
def withdrawn(row: Product, event: ProductWithdrawn) -> Delete:
    return DELETE


# ---------------------------------------------------------------- stock


class Stock(ReadModel):
    """Stock of a product, over all warehouses. Sums commute, so it does not matter in which order they report."""

    __tablename__ = "stock"
    sku: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int] = mapped_column(default=0)
    warehouses: Mapped[int] = mapped_column(default=0)


stock = Projection("stock", into=Stock)


@stock.on(StockOpened, key=lambda event: event.sku)
def opened(row: Stock, event: StockOpened) -> None:
    row.quantity += event.quantity
    row.warehouses += 1


@stock.on(StockAdjusted, key=lambda event: event.sku)
def adjusted(row: Stock, event: StockAdjusted) -> None:
    row.quantity += event.by


@stock.on(StockClosed, key=lambda event: event.sku)
def closed(row: Stock, event: StockClosed) -> Delete | None:
    row.quantity -= event.quantity
    row.warehouses -= 1
    return DELETE if row.warehouses == 0 else None


# ---------------------------------------------------------------- customers


class Customer(ReadModel):
    __tablename__ = "customer"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None]
    segment: Mapped[str]


customers = Projection("customers", into=Customer)


@customers.on(CustomerRegistered)
def registered(row: Customer, event: CustomerRegistered) -> None:
    row.name, row.email, row.segment = event.name, event.email, event.segment


@customers.on(CustomerRenamed)
def customer_renamed(row: Customer, event: CustomerRenamed) -> None:
    row.name = event.name


@customers.on(CustomerEmailChanged)
def email_changed(row: Customer, event: CustomerEmailChanged) -> None:
    row.email = event.email


@customers.on(CustomerSegmentChanged)
def segment_changed(row: Customer, event: CustomerSegmentChanged) -> None:
    row.segment = event.segment


@customers.on(CustomerLeft)
def left(row: Customer, event: CustomerLeft) -> Delete:
    return DELETE


# ---------------------------------------------------------------- orders


class OrderSummary(ReadModel):
    __tablename__ = "order_summary"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    customer: Mapped[str]
    sku: Mapped[str]
    product: Mapped[str]
    quantity: Mapped[int]
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    status: Mapped[str]


order_summary = Projection("order-summary", into=OrderSummary)


@order_summary.on(OrderPlaced, lookup=(Customer, lambda event: str(event.customer_id)))
def placed(row: OrderSummary, event: OrderPlaced, customer: Customer | None) -> None:
    row.customer_id, row.customer = event.customer_id, customer.name if customer else "(unknown)"
    row.sku, row.product, row.quantity = event.sku, event.product, event.quantity
    row.total, row.status = event.total, "placed"


# Lookups see the name of the moment, so a later one comes by its event: a rebuild ends with the same rows.
@order_summary.on(CustomerRenamed, where=(OrderSummary.customer_id, lambda event: int(event.meta.key)))
def buyer_renamed(row: OrderSummary, event: CustomerRenamed) -> None:
    row.customer = event.name


@order_summary.on(OrderPaid)
def paid(row: OrderSummary, event: OrderPaid) -> None:
    row.status = "paid"


@order_summary.on(OrderShipped)
def shipped(row: OrderSummary, event: OrderShipped) -> None:
    row.status = "shipped"


@order_summary.on(OrderCancelled)
def cancelled(row: OrderSummary, event: OrderCancelled) -> None:
    row.status = "cancelled"
