"""The contract between a pipeline and what it runs: a projection, an ingest with its mirrors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from eventstore.model.record import Record


class Item(NamedTuple):
    """A record that the handler has something to do for, with what it decoded from it."""

    record: Record
    content: Any


class Work(Protocol):
    """What a handler computed for a batch, ready to be stored."""

    def write(self, connection: Connection) -> None:
        """Store it, in the batch's transaction. May raise; then nothing of the batch is stored."""

    def committed(self) -> None:
        """The transaction is committed: only now may rows be kept in memory for the next batch."""


class Handler(Protocol):
    """What a pipeline does with records. One thread calls it; its methods are called in this order::

        reset → (admit* → keys* → prepare → write → committed)* → reset → …

    In memory it may hold what it read or committed. Whatever it changed in memory during a batch is
    dropped by ``reset``, which the pipeline calls when it takes its lease and after every failure.
    """

    @property
    def shared(self) -> bool:
        """Whether several workers may run different partitions: only when nothing is shared between streams."""

    @property
    def fingerprint(self) -> str:
        """What the rows depend on (its code and the shape of its table); "": nothing that needs a rebuild."""

    def reset(self, connection: Connection) -> None:
        """Forget everything in memory and read anew what is needed before the first record."""

    def clear(self, connection: Connection) -> None:
        """Delete everything it ever wrote, in the caller's transaction: a rebuild begins from nothing."""

    def admit(self, record: Record, *, again: bool = False) -> Item | None:
        """Decode ``record``. None: there is nothing to do for it. Raises when it cannot be decoded.

        Called once for every record in the order of its partition, also for those that are then blocked:
        what was delivered twice is recognised here. ``again``: a dead letter that was admitted before.
        """

    def keys(self, record: Record, item: Item | None, connection: Connection) -> Sequence[str]:
        """The blocking keys of ``record``: it waits behind any dead letter that shares one of them.

        The first is the one people see; without any, nothing waits behind it. ``item`` is None when the record
        could not be decoded; then the keys come from its bytes. ``connection`` is for reading. Called only for a
        record that failed, and while there are open dead letters.
        """

    def prepare(self, items: Sequence[Item], connection: Connection) -> Work:
        """Fold, translate, decide: everything but the writing. ``connection`` is for reading.

        Must leave rows held from earlier batches as the committed table has them only if it succeeds; the
        pipeline resets the handler when it raises. Called with no items too: what ``admit`` learned is
        then still to be written.
        """

    def whole(self, record: Record) -> bool:
        """Whether ``record`` carries all that earlier records of its key said, so that they may be skipped."""
