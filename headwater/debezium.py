"""Types of a source's columns, for an ingest whose messages carry no schema.

::

    from headwater.debezium import Date, Decimal, declared_from

    legacy.mirror("inv.acct", types={"balance": Decimal(2), "opened": Date()})
    legacy.table("inv.cust", row=CustomerRow, …, types=declared_from(CustomerTable))   # as SQLAlchemy says
"""

from __future__ import annotations

from headwater.shadow import check_all

check_all()

from cdc.declared import declared_from  # noqa: E402
from cdc.types import (  # noqa: E402
    Array,
    Bits,
    Boolean,
    Bytes,
    Date,
    Decimal,
    DecimalText,
    Float,
    Integer,
    Interval,
    IsoDate,
    IsoTime,
    IsoTimestamp,
    Json,
    Map,
    MicroDuration,
    Pairs,
    Struct,
    Text,
    Time,
    Timestamp,
    Type,
    Uuid,
    VariableDecimal,
    Year,
    ZonedTime,
    ZonedTimestamp,
)

__all__ = [
    "Array",
    "Bits",
    "Boolean",
    "Bytes",
    "Date",
    "Decimal",
    "DecimalText",
    "Float",
    "Integer",
    "Interval",
    "IsoDate",
    "IsoTime",
    "IsoTimestamp",
    "Json",
    "Map",
    "MicroDuration",
    "Pairs",
    "Struct",
    "Text",
    "Time",
    "Timestamp",
    "Type",
    "Uuid",
    "VariableDecimal",
    "Year",
    "ZonedTime",
    "ZonedTimestamp",
    "declared_from",
]
