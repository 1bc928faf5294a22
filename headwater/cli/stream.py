"""``headwater stream``: list streams, show one, or the state it leads to."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli.console import Json, clipped, note, number, plain, plural, print_json, say, table
from headwater.cli.loading import opened
from headwater.cli.names import check_categories, check_stream
from headwater.cli.times import parse_time, short_time

group = typer.Typer(help="Look into streams: the events of one aggregate, in order.", no_args_is_help=True)
Stream = Annotated[str, typer.Argument(metavar="STREAM", callback=check_stream, help="<category>-<key>: order-o-1.")]
PAGE = 100


@group.command("list")
def list_(
    context: typer.Context,
    category: Annotated[str, typer.Option(help="Of this category only.")] = "",
    after: Annotated[str, typer.Option(metavar="STREAM", help="Those whose name comes after this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most that many of each category.")] = PAGE,
    json: Json = False,
) -> None:
    """List streams by name, with their versions."""
    with opened(context) as app:
        categories = check_categories(app, [category] if category else [])
        found = [info for each in categories for info in app.streams(each, after=after, limit=limit)]
    if json:
        print_json(found)
        return
    made = table("stream", "version", "last event", right=("version",))
    for info in found:
        made.add_row(info.stream, number(info.version), short_time(info.last_at))
    say(made)
    note(
        plural(len(found), "stream") + (f", at most {limit} of each category (--limit)" if len(found) >= limit else "")
    )


@group.command()
def show(
    context: typer.Context,
    stream: Stream,
    after: Annotated[int, typer.Option(metavar="VERSION", min=0, help="Events after this version.")] = 0,
    json: Json = False,
) -> None:
    """Show the events of a stream.

    JSON: one line an event.
    """
    from eventstore.errors import NotFound
    from headwater.cli.event_lines import print_events

    with opened(context) as app:
        records = app.resources.log.read_stream(stream, after=after)
        if not print_events(records, as_json=json, streams=False) and not after:
            raise NotFound(f"there is no stream {stream}", "", "headwater stream list")


@group.command()
def state(
    context: typer.Context,
    stream: Stream,
    version: Annotated[int | None, typer.Option(min=1, help="As of this version.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As of this time: ISO 8601, or 2h (ago).")] = None,
    json: Json = False,
) -> None:
    """Show the state of an aggregate: now, as of a version, or as of a time."""
    from eventstore.errors import NotFound
    from eventstore.model.stream import split_stream

    with opened(context) as app:
        category = split_stream(stream)[0]
        aggregate = app.parts.aggregates.get(category)
        if aggregate is None:
            known = ", ".join(sorted(app.parts.aggregates)) or "none"
            raise NotFound(
                f"no aggregate is of category {category!r}",
                f"this application has {known}",
                f"headwater stream show {stream} shows its events",
            )
        loaded = app.load(aggregate, stream, version=version, at=parse_time(at) if at else None)
    fields = loaded.state.model_dump(mode="json")
    if json:
        print_json({"stream": stream, "version": loaded.version, "aggregate": aggregate.__name__, "state": fields})
        return
    note(f"{stream} at version {loaded.version} ({aggregate.__name__})")
    made = table("field", "value")
    for name, value in fields.items():
        made.add_row(name, clipped(str(plain(value))))
    say(made)
