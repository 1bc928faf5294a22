"""What was delivered before: a watermark per topic and partition of Debezium. Protocols, section 3. Pure.

Positions are ``(last commit, lsn, total order)`` and strictly increase within a partition. Without
transaction metadata, which is Debezium's default, several changes may share ``(last commit, lsn)``: then
the (key, op) pairs seen at that very position are kept too. Rows read by a snapshot do not move a
watermark: the first live change may stand where the snapshot stood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cdc.message import RowMessage, SourcePosition
from cdc.rows import key_text
from cdc.temporal import micros_of
from eventstore.errors import SourceReset


@dataclass(slots=True)
class Watermark:
    """The highest ``position`` delivered; ``at`` the latest source time, in µs; ``seen`` without metadata."""

    table: str
    position: SourcePosition
    at: int
    seen: set[tuple[str, str]] = field(default_factory=set)


class Watermarks:
    """The watermarks of an ingest, and which of them were moved since they were last stored."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], Watermark] = {}
        self.moved: set[tuple[str, int]] = set()

    def is_redelivery(self, message: RowMessage) -> bool:
        """Whether ``message`` was delivered before; if not, its watermark moves.

        Raises :class:`~eventstore.errors.SourceReset` for a lower position with a later source time. A
        message without a position (a connector without ``source.sequence``) is never taken for a repetition.
        """
        position, partition = message.position, (message.topic, message.partition)
        if position is None:
            return False
        mark, at = self.held.get(partition), micros_of(message.at)
        if mark is None:
            if message.op != "r":
                self._move(partition, Watermark(message.table, position, at), message)
            return False
        place, marked = position[:2], mark.position[:2]
        if message.snapshot == "incremental" and message.op == "r":
            return place < marked  # its time is the connector's, which tells nothing beside the database's
        if place < marked and at > mark.at:
            raise source_reset(message, mark.position)
        if message.op == "r":
            return place < marked or (place == marked and at < mark.at)
        if place < marked or (place == marked and _repeats(message, position, mark)):
            return True
        if place > marked:
            mark = Watermark(message.table, position, max(at, mark.at))
        elif position.order is not None:
            mark.position = position
        self._move(partition, mark, message)
        return False

    def _move(self, partition: tuple[str, int], mark: Watermark, message: RowMessage) -> None:
        if mark.position.order is None:
            mark.seen.add(_sign(message))
        self.held[partition] = mark
        self.moved.add(partition)


def _repeats(message: RowMessage, position: SourcePosition, mark: Watermark) -> bool:
    """Whether a message at the very place of the watermark was seen there."""
    if position.order is not None and mark.position.order is not None:
        return position.order <= mark.position.order
    return _sign(message) in mark.seen


def _sign(message: RowMessage) -> tuple[str, str]:
    return ("" if message.key is None else key_text(message.key), message.op)


def source_reset(message: RowMessage, known: SourcePosition) -> SourceReset:
    return SourceReset(
        f"{message.table} in {message.topic}[{message.partition}] went back from {known.commit}/{known.lsn} to "
        f"{message.position and message.position.commit}/{message.position and message.position.lsn}, at a later time",
        "this is another database cluster than the one read so far: restored, upgraded or failed over",
        "give the new cluster an ingest with a name of its own, so that it begins with its snapshot",
    )
