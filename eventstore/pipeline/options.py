"""What a pipeline is made of, and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from eventstore.model.log import Source
from eventstore.model.record import Position
from eventstore.pipeline.handler import Handler


@dataclass(frozen=True, slots=True)
class Options:
    """How a pipeline runs.

    ``batch``: records a transaction, at most. ``attempts``: how often a record is tried before it is
    parked. ``lease_seconds``: how long a worker that died keeps others waiting. More than ``parked_limit``
    records parked within ``parked_window`` seconds, or more than ``blocked_limit`` waiting behind them,
    pause the pipeline: a bad deploy must not park a million records.
    """

    batch: int = 500
    attempts: int = 3
    lease_seconds: float = 10.0
    parked_limit: int = 100
    parked_window: float = 60.0
    blocked_limit: int = 10_000


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A source and the handler of its records. Without a source only its dead letters are worked on."""

    name: str
    source: Source | None
    handler: Handler
    generation: int = 1
    options: Options = field(default_factory=Options)


OnProgress: TypeAlias = Callable[[str, int, Position], None]
"""Called after every committed batch with the pipeline's name, how many records it had, and where it stands."""
