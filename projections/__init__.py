"""Projections: folding events into rows of SQL tables that are queried as any SQLAlchemy model.

::

    class OrderSummary(ReadModel):
        __tablename__ = "order_summary"
        order_id: Mapped[str] = mapped_column(primary_key=True)
        status: Mapped[str]

    summary = Projection("order-summary", into=OrderSummary)

    @summary.on(OrderPlaced)
    def placed(row: OrderSummary, event: OrderPlaced) -> None:
        row.status = "placed"

    rows = fold(summary, OrderPlaced(...))          # a test needs no database
"""

from projections.engine import ProjectionHandler
from projections.explain import Explanation, Step, explain
from projections.fingerprint import fingerprint
from projections.folding import fold
from projections.model import DELETE, Delete, ReadModel, twin
from projections.plain import SqlProjection, SqlProjectionHandler
from projections.projection import Projection
from projections.reading import get
from projections.tables import create_tables

__all__ = [
    "DELETE",
    "Delete",
    "Explanation",
    "Projection",
    "ProjectionHandler",
    "ReadModel",
    "SqlProjection",
    "SqlProjectionHandler",
    "Step",
    "create_tables",
    "explain",
    "fingerprint",
    "fold",
    "get",
    "twin",
]
