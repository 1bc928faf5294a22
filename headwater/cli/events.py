"""``headwater events``: the log, as it is and as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.cli.console import Json, note, plural
from headwater.cli.loading import opened
from headwater.cli.names import check_categories
from headwater.cli.times import parse_time

if TYPE_CHECKING:
    from eventstore.model.log import Source
    from eventstore.model.record import Record, TopicPartition

PAGE = 500
LOOK_SECONDS = 1.0


def events(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    type: Annotated[list[str] | None, typer.Option(help="Of this type; may be said several times.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Of this category; may be said several times.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not older: ISO 8601, or 2h (ago).")] = None,
    last: Annotated[int | None, typer.Option(metavar="N", min=0, help="Only the last N.")] = None,
    json: Json = False,
) -> None:
    """Show the events of the log by their time.

    JSON: one line an event.
    """
    from eventstore.model.merging import read_by_time
    from headwater.cli.event_lines import print_events

    with opened(context) as app:
        source = app.resources.log.source(check_categories(app, category or []))
        ends = dict(source.ends())
        wanted = _Filter(set(type or ()), parse_time(since) if since else None)
        found = _tail(source, ends, wanted, last) if last is not None else filter(wanted, read_by_time(source, ends))
        count = print_events(found, as_json=json, streams=True)
        if follow:
            print_events(_following(source, ends, wanted), as_json=json, streams=True)
    if not json:
        note(plural(count, "event"))


class _Filter:
    def __init__(self, types: set[str], since: datetime | None) -> None:
        self._types, self._since = types, since

    def __call__(self, record: Record) -> bool:
        if self._types and record.headers.get("ce_type") not in self._types:
            return False
        return self._since is None or record.timestamp is None or record.timestamp >= self._since


def _tail(source: Source, ends: dict[TopicPartition, int], wanted: _Filter, last: int) -> Iterator[Record]:
    """The last ``last`` of all: each partition is read backwards until it has given that many."""
    from eventstore.model.merging import by_time

    found: list[Record] = []
    for partition, end in ends.items():
        of_partition: list[Record] = []
        stop = end
        while stop > 0 and len(of_partition) < last:
            start = max(0, stop - PAGE)
            page = [r for r in source.read({partition: start}, stop - start) if r.offset < stop and wanted(r)]
            of_partition = page + of_partition
            stop = start
        found += of_partition[-last:] if last else []
    found.sort(key=by_time)
    return iter(found[-last:] if last else [])


def _following(source: Source, ends: dict[TopicPartition, int], wanted: _Filter) -> Iterator[Record]:
    position = dict(ends)
    while True:
        records = source.read(position, PAGE)
        for record in records:
            position[record.topic, record.partition] = record.offset + 1
        yield from filter(wanted, records)
        if not records:
            source.wait(position, LOOK_SECONDS)
