"""A record as every backend hands it out, and positions in the log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias

TopicPartition: TypeAlias = tuple[str, int]
Position: TypeAlias = Mapping[TopicPartition, int]
"""``{(topic, partition): next offset}``: what a reader has seen, what a writer reached."""

CAPTURE_TOPIC, CAPTURE_PARTITION, CAPTURE_OFFSET = "capture.topic", "capture.partition", "capture.offset"
"""Headers of a record that was read from a file: where it stood before it was captured there."""


class Record(NamedTuple):
    """One entry of a topic. ``headers`` hold text; bytes that are not UTF-8 are kept by surrogate escapes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str] = {}
    timestamp: datetime | None = None

    @property
    def place(self) -> str:
        """``topic[partition]@offset``."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    def __repr__(self) -> str:
        return f"Record({self.place}, key={self.key!r})"


def reached(position: Position, target: Position) -> bool:
    """Whether ``position`` is at or past ``target`` in every partition that ``target`` names."""
    return all(position.get(partition, 0) >= offset for partition, offset in target.items())
