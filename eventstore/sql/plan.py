"""What a group of appends comes to, decided in memory between the reads and the writes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from eventstore.errors import CommandIdReused, VersionConflict
from eventstore.model.codec import NewEvent
from eventstore.model.log import Append, Appended, Expect, ExpectedVersion, Outcome
from eventstore.model.record import TopicPartition


class Known(NamedTuple):
    """What is stored about an event id: where it went, and the append it came with."""

    stream: str
    version: int
    partition: int
    offset: int
    appended: int
    digest: str


class NewRow(NamedTuple):
    """One event, placed."""

    partition: TopicPartition
    offset: int
    version: int
    event: NewEvent
    append: Append


@dataclass(slots=True)
class Plan:
    """The outcome of each append, the rows to insert, and the heads that they move."""

    outcomes: list[Outcome] = field(default_factory=list)
    rows: list[NewRow] = field(default_factory=list)
    heads: dict[TopicPartition, int] = field(default_factory=dict)


def plan(
    appends: Sequence[Append],
    places: Mapping[str, TopicPartition],
    heads: Mapping[TopicPartition, int],
    versions: Mapping[tuple[str, str], int],
    known: Mapping[tuple[str, str], Known],
) -> Plan:
    """Decide ``appends`` one after the other against what is stored.

    ``places``: where each stream lives; ``heads``: next offsets; ``versions``: ``(topic, stream)`` → version,
    absent: 0; ``known``: ``(topic, event id)`` → what is stored.
    """
    made = Plan()
    next_offset, version_of, ids = dict(heads), dict(versions), dict(known)
    refused: set[str] = set()
    for append in appends:
        partition = places[append.stream]
        topic = partition[0]
        stored = [ids.get((topic, event.id)) for event in append.events]
        if any(stored):
            refused.add(append.stream)  # what was decided on its outcome was decided on another one's
            made.outcomes.append(_repeated(append, partition, stored))
            continue
        actual = version_of.get((topic, append.stream), 0)
        if (append.chained and append.stream in refused) or not meets(actual, append.expected):
            refused.add(append.stream)
            made.outcomes.append(VersionConflict(append.stream, append.expected, actual))
            continue
        refused.discard(append.stream)
        offset, count = next_offset[partition], len(append.events)
        for n, event in enumerate(append.events):
            made.rows.append(NewRow(partition, offset + n, actual + n + 1, event, append))
            ids[topic, event.id] = Known(append.stream, actual + n + 1, partition[1], offset + n, count, append.digest)
        version_of[topic, append.stream] = actual + count
        next_offset[partition] = made.heads[partition] = offset + count
        made.outcomes.append(Appended(append.stream, actual + 1, actual + count, partition, offset))
    return made


def meets(actual: int, expected: ExpectedVersion) -> bool:
    """Whether a stream at version ``actual`` (0: none) is as ``expected``."""
    if expected is Expect.ANY:
        return True
    if expected is Expect.NO_STREAM:
        return actual == 0
    if expected is Expect.EXISTS:
        return actual > 0
    return actual == expected


def _repeated(append: Append, partition: TopicPartition, stored: Sequence[Known | None]) -> Outcome:
    """The first outcome of an append whose ids are known, or what is wrong about them."""
    first = stored[0]
    if first is None:
        return _reused(append, "some of its event ids are stored already, with another append")
    if first.stream != append.stream:
        return _reused(append, f"it is stored in the stream {first.stream}")
    if append.digest and first.digest and append.digest != first.digest:
        return _reused(append, "it was used for a command with other data")
    if not append.digest and (None in stored or first.appended != len(append.events)):
        return _reused(append, f"it was stored with {first.appended} events, now there are {len(append.events)}")
    return first_outcome(first, partition)


def first_outcome(first: Known, partition: TopicPartition) -> Appended:
    return Appended(
        first.stream, first.version, first.version + first.appended - 1, partition, first.offset, repeated=True
    )


def _reused(append: Append, why: str) -> CommandIdReused:
    return CommandIdReused(
        f"the id of this append to {append.stream} was used before", why, "send a fresh id for a different request"
    )


def wanted_ids(appends: Iterable[Append], places: Mapping[str, TopicPartition]) -> list[tuple[str, str]]:
    return [(places[append.stream][0], event.id) for append in appends for event in append.events]


def wanted_streams(appends: Iterable[Append], places: Mapping[str, TopicPartition]) -> list[tuple[str, str, int]]:
    """``(topic, stream, version)``: the lowest version that any of them expects it at, 0 when one does not say."""
    lowest: dict[str, int] = {}
    for append in appends:
        expected = append.expected if isinstance(append.expected, int) else 0
        lowest[append.stream] = min(expected, lowest.get(append.stream, expected))
    return [(places[stream][0], stream, version) for stream, version in lowest.items()]
