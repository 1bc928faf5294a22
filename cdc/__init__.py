"""Change data capture: Debezium's messages decoded, made into events, and kept as mirrors.

::

    legacy = Ingest("legacy-shop", topics=r"legacy\\.public\\..*")

    @legacy.table("public.product", row=ProductRow, category="product", key=lambda row: row.sku)
    def product(change: Change[ProductRow]) -> Iterable[Event]:
        match change:
            case Updated(before=b, after=a) if b.price != a.price:
                yield PriceChanged(old=b.price, new=a.price)

    legacy.mirror("public.stock")

    inspect("changes.jsonl.gz").tables                  # what is in a capture
    Decoder().decode(record)                            # one message, nothing interpreted yet

Types of columns (``types.Decimal(2)`` …) are in :mod:`cdc.types`.
"""

from cdc import types
from cdc.capture import CaptureSource
from cdc.change import Change, Created, Deleted, Origin, Rekeyed, Updated
from cdc.declared import declared_from
from cdc.decode import Declared, Decoder
from cdc.handler import IngestHandler
from cdc.ingest import Addressed, Ingest, to
from cdc.inspection import Fault, Inspection, TableSummary, inspect
from cdc.message import UNCHANGED, Column, Message, Row, RowMessage, SideMessage, SourcePosition
from cdc.sql_types import sql_type
from cdc.translate import translate

__all__ = [
    "UNCHANGED",
    "Addressed",
    "CaptureSource",
    "Change",
    "Column",
    "Created",
    "Declared",
    "Decoder",
    "Deleted",
    "Fault",
    "Ingest",
    "IngestHandler",
    "Inspection",
    "Message",
    "Origin",
    "Rekeyed",
    "Row",
    "RowMessage",
    "SideMessage",
    "SourcePosition",
    "TableSummary",
    "Updated",
    "declared_from",
    "inspect",
    "sql_type",
    "to",
    "translate",
    "types",
]
