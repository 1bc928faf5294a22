"""headwater: event sourcing and change data capture, from one import.

::

    from headwater import Aggregate, App, Command, Event, Projection, ReadModel, applies, handles

    app = App("shop", Order, summary)
    receipt = app.execute(PayOrder(order_id="o-1"), wait=summary)
    row = app.get(summary, "o-1")

Names are loaded when first used, so that a program pays for what it needs only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdc.change import Change, Created, Deleted, Origin, Rekeyed, Updated
    from cdc.ingest import Addressed, Ingest, to
    from eventstore.errors import (
        AlreadyRunning,
        CommandError,
        CommandIdReused,
        DeclarationError,
        HandlingError,
        HeadwaterError,
        IncompleteRow,
        LeaseLost,
        NoSuchStream,
        NotFound,
        NotStorable,
        Parked,
        PipelineError,
        PositionOutsideLog,
        Refused,
        Rejected,
        SettingError,
        SourceReset,
        StaleProjection,
        StreamExists,
        TooManyFailures,
        Unavailable,
        Undecodable,
        UnknownTable,
        VersionConflict,
        WaitError,
        WaitTimeout,
    )
    from eventstore.model.aggregate import Aggregate, applies, handles
    from eventstore.model.log import ANY, EXISTS, NO_STREAM
    from eventstore.model.message import Command, Event, Meta, upcasts
    from eventstore.model.record import Position
    from eventstore.model.request import Receipt
    from eventstore.pipeline import DeadLetter, OnProgress, PipelineStatus
    from headwater.app import App
    from headwater.ingesting import FileProgress, IngestSummary
    from headwater.settings import Settings
    from projections import DELETE, Delete, Explanation, Projection, ReadModel, SqlProjection

__all__ = [
    "ANY",
    "Addressed",
    "Aggregate",
    "AlreadyRunning",
    "App",
    "Change",
    "Command",
    "CommandError",
    "CommandIdReused",
    "Created",
    "DELETE",
    "DeadLetter",
    "DeclarationError",
    "Delete",
    "Deleted",
    "EXISTS",
    "Event",
    "Explanation",
    "FileProgress",
    "HandlingError",
    "HeadwaterError",
    "IncompleteRow",
    "Ingest",
    "IngestSummary",
    "LeaseLost",
    "Meta",
    "NO_STREAM",
    "NoSuchStream",
    "NotFound",
    "NotStorable",
    "OnProgress",
    "Origin",
    "Parked",
    "PipelineError",
    "PipelineStatus",
    "Position",
    "PositionOutsideLog",
    "Projection",
    "ReadModel",
    "Receipt",
    "Refused",
    "Rejected",
    "Rekeyed",
    "SettingError",
    "Settings",
    "SourceReset",
    "SqlProjection",
    "StaleProjection",
    "StreamExists",
    "TooManyFailures",
    "Unavailable",
    "Undecodable",
    "UnknownTable",
    "Updated",
    "VersionConflict",
    "WaitError",
    "WaitTimeout",
    "applies",
    "handles",
    "to",
    "upcasts",
]

_HOMES = {
    "cdc.change": ("Change", "Created", "Deleted", "Origin", "Rekeyed", "Updated"),
    "cdc.ingest": ("Addressed", "Ingest", "to"),
    "eventstore.model.aggregate": ("Aggregate", "applies", "handles"),
    "eventstore.model.request": ("Receipt",),
    "eventstore.model.log": ("ANY", "EXISTS", "NO_STREAM"),
    "eventstore.model.message": ("Command", "Event", "Meta", "upcasts"),
    "eventstore.model.record": ("Position",),
    "eventstore.pipeline": ("DeadLetter", "OnProgress", "PipelineStatus"),
    "headwater.app": ("App",),
    "headwater.ingesting": ("FileProgress", "IngestSummary"),
    "headwater.settings": ("Settings",),
    "projections": ("DELETE", "Delete", "Explanation", "Projection", "ReadModel", "SqlProjection"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'headwater' has no attribute {name!r}")
    from importlib import import_module

    from headwater import shadow

    shadow.check_all()
    found = getattr(import_module(_HOME.get(name, "eventstore.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
