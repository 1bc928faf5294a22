"""The tour: a legacy database's changes in, read models out, and what an operator does about the rest."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select

from headwater import Rejected
from sample_app.app import app
from sample_app.demo.comparison import Comparison, compare, rows_of_file, rows_of_table, summed
from sample_app.demo.screen import console, event_progress, file_progress, heading, say, show
from sample_app.orders import CancelOrder, PayOrder, PlaceOrder, ShipOrder
from sample_app.read_models import Customer, OrderSummary, Product, Stock, products

DATA = Path(__file__).parent.parent / "data"
FILE = "shop.db"
TYPING_ERROR = "public.product:SKU-0007"


def main() -> None:
    began = time.monotonic()
    start_afresh()
    with app:
        ingest()
        place_orders()
        read()
        dead_letters()
        resolve()
        rebuild()
        explain()
        differing = compare_with_the_source()
        summary(differing, time.monotonic() - began)


def start_afresh() -> None:
    """Remove what an earlier tour left, and nothing else."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(FILE + suffix).unlink(missing_ok=True)
    console.print(f"[bold]headwater[/]: a shop on top of a legacy database, in the file {FILE}")


def ingest() -> None:
    heading(1, "Ingest a day of changes that Debezium captured from the legacy database")
    with file_progress() as progress:
        (done,) = app.ingest(DATA / "changes.jsonl.gz", progress=progress)
    say(
        f"{done.read:,} records became {done.events:,} events and two mirrored tables in {done.seconds:.1f} s; "
        f"{done.parked} were refused, {done.blocked} more wait behind them."
    )
    app.catch_up()


def place_orders() -> None:
    heading(2, "Execute commands on event-sourced orders")
    with app.session() as session:
        buyers = session.scalars(select(Customer).order_by(Customer.id).limit(3)).all()
        goods = session.scalars(select(Product).order_by(Product.sku).limit(3)).all()
    for number, (buyer, item) in enumerate(zip(buyers, goods, strict=True), 1):
        place = PlaceOrder(
            order_id=f"o-{number}",
            customer_id=int(buyer.id),
            sku=item.sku,
            product=item.name,
            quantity=number,
            price=item.price,
        )
        receipt = app.execute(place, id=f"cart-{number}")
        say(f"placed    {receipt.stream} at version {receipt.version}: {number} × {item.name} for {buyer.name}")
    again = app.execute(place, id=f"cart-{number}")
    say(f"placed again under the same id: nothing new, the first receipt (version {again.version})")
    app.execute(PayOrder(order_id="o-1", amount=goods[0].price))
    app.execute(ShipOrder(order_id="o-1", parcel="P-1001"))
    app.execute(CancelOrder(order_id="o-2", reason="changed their mind"))
    say("paid      order-o-1, shipped it, and cancelled order-o-2")
    try:
        app.execute(PayOrder(order_id="o-3", amount=Decimal(1)))
    except Rejected as refusal:
        say(f"[yellow]refused[/]   paying order-o-3: {refusal.what}")
    app.catch_up()


def read() -> None:
    heading(3, "Read models, folded from events exactly once")
    with app.session() as session:
        many = session.scalars(select(Product).order_by(Product.price_changes.desc(), Product.sku).limit(3)).all()
        show(
            ("product", "name", "price", "price changes", "stock"),
            ((p.sku, p.name, p.price, p.price_changes, session.get_one(Stock, p.sku).quantity) for p in many),
        )
        orders = session.scalars(select(OrderSummary).order_by(OrderSummary.order_id)).all()
        show(
            ("order", "customer", "product", "total", "status"),
            ((o.order_id, o.customer, f"{o.quantity} × {o.product}", o.total, o.status) for o in orders),
        )


def dead_letters() -> None:
    heading(4, "What could not be handled, and why")
    letters = app.dead_letters.list()
    show(
        ("id", "key", "state", "why"),
        ((x.id, x.key, x.state, reason(x.error) if x.error else "waits for the one before it") for x in letters),
    )


def reason(error: str) -> str:
    """The lines of an error that say what is wrong, without the advice."""
    lines = [line.strip() for line in error.splitlines()]
    why = [line.removeprefix("why: ") for line in lines if line.startswith("why: ")]
    return why[0] if why else lines[0]


def resolve() -> None:
    heading(5, "Resolve SKU-0007 as an operator would")
    say("A later change corrects the price and carries the whole row, so the newest can stand for all of them:")
    say(f"[dim]headwater dlq collapse --key {TYPING_ERROR}[/]")
    kept = app.collapse(TYPING_ERROR)
    app.catch_up()
    product = app.get(products, "SKU-0007")
    assert product is not None
    say(f"dead letter {kept.id} was retried: SKU-0007 is now {product.name!r} at {product.price}")


def rebuild() -> None:
    heading(6, "Rebuild a read model, and see that it comes out identical")
    before, total = snapshot(), sum(sum(s.end.values()) for s in app.status() if s.name == products.name)
    with event_progress(products.name, total) as progress:
        app.rebuild(products, on_progress=progress)
    say("identical" if snapshot() == before else "[red]it differs[/]")


def snapshot() -> dict[str, tuple[object, ...]]:
    with app.session() as session:
        rows = session.scalars(select(Product))
        return {row.sku: (row.name, row.price, row.currency, row.price_changes) for row in rows}


def explain() -> None:
    say("\nHow one of its rows came to be:")
    explanation = app.explain(products, "SKU-0007")
    show(
        ("at", "event", "changed"),
        (
            (
                f"{step.event.meta.at:%H:%M:%S}",
                step.event.event_name,
                ", ".join(f"{name}: {old} → {new}" for name, (old, new) in step.changes.items()),
            )
            for step in explanation.steps
        ),
    )


def compare_with_the_source() -> dict[str, Comparison]:
    heading(7, "Compare with the source's own tables, row by row")
    engine = app.resources.engine
    product = ("sku", "name", "price", "currency", "weight_g", "released", "updated_at", "eco_label")
    customer = ("id", "name", "email", "segment")
    source_products = rows_of_file(DATA / "final.product.csv", "sku")
    source_stock = rows_of_file(DATA / "final.stock.csv", "sku", "warehouse")
    source_customers = rows_of_file(DATA / "final.customer.csv", "id")

    def ours(table: str, columns: tuple[str, ...], *keys: str) -> dict[tuple[str, ...], dict[str, object]]:
        return rows_of_table(engine, table, columns, *keys)

    found = {
        "mirror of product": compare(ours("legacy_product", product, "sku"), source_products, product),
        "mirror of stock": compare(
            ours("legacy_stock", ("sku", "warehouse", "quantity"), "sku", "warehouse"), source_stock, ("quantity",)
        ),
        "products": compare(ours("product", product[:4], "sku"), source_products, product[:4]),
        "stock": compare(
            ours("stock", ("sku", "quantity"), "sku"), summed(source_stock, "sku", "quantity"), ("quantity",)
        ),
        "customers": compare(ours("customer", customer, "id"), source_customers, customer),
    }
    show(
        ("table", "rows alike", "not"),
        ((name, one.matching, len(one.differing) or "") for name, one in found.items()),
    )
    for name, one in found.items():
        for key, difference in one.differing.items():
            say(f"[yellow]{name}[/] {'/'.join(key)}: {difference}; {waiting_for(key[0])}")
    return found


def waiting_for(key: str) -> str:
    """Why a row stays behind: the dead letter that its later changes wait for."""
    for letter in app.dead_letters.list():
        if letter.error and letter.key.endswith(f":{key}"):
            return f"dead letter {letter.id}, {reason(letter.error)}"
    return "[red]for no reason known[/]"


def summary(compared: dict[str, Comparison], seconds: float) -> None:
    alike = sum(one.matching for one in compared.values())
    unlike = sum(len(one.differing) for one in compared.values())
    console.print(
        f"\n[bold green]Done[/] in {seconds:.1f} s: {alike} rows are as in the source, {unlike} wait for an operator. "
        "Try next, on the same file:"
    )
    for command in ("status", "projection explain products SKU-0007", "dlq list"):
        console.print(f"  .venv/bin/headwater {command}")
