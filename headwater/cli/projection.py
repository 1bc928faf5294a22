"""``headwater projection``: list, compare with the log, rebuild, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.cli.console import Json, clipped, note, plain, plural, print_json, say, table
from headwater.cli.exit_codes import ExitCode
from headwater.cli.loading import opened
from headwater.cli.times import short_time

if TYPE_CHECKING:
    from headwater.app import App
    from headwater.parts import AnyProjection
    from projections import Explanation

group = typer.Typer(help="Look into projections and their read models.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The projection's name.")]


@group.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the projections, their tables, and the events they handle."""
    with opened(context) as app:
        found = [_document(projection) for projection in app.parts.projections.values()]
    if json:
        print_json(found)
        return
    made = table("projection", "tables", "events", whole=("projection",))
    for one in found:
        made.add_row(one["name"], ", ".join(one["tables"]), ", ".join(one["events"]))
    say(made)


def _document(projection: AnyProjection) -> dict[str, Any]:
    from headwater.parts import table_names

    events = [event.event_name for event in projection.events]
    return {"name": projection.name, "tables": table_names(projection), "events": events}


@group.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show how far every projection is. (`headwater status` shows the ingests too.)"""
    from headwater.cli.status import explain_states, status_table

    with opened(context) as app:
        found = [one for one in app.status() if one.name in app.parts.projections]
    if json:
        print_json(found)
        return
    say(status_table(found))
    explain_states(found)


@group.command()
def rebuild(context: typer.Context, name: Name, json: Json = False) -> None:
    """Empty a read model and fold it anew from the whole log."""
    from headwater.cli.progress import Bar

    with opened(context) as app:
        projection = app.parts.projection(name)
        (pipeline,) = app.pipelines(projection)
        total = sum(pipeline.source.ends().values()) if pipeline.source else 0
        with Bar(f"rebuilding {projection.name}", "records", total, silent=json) as bar:
            app.rebuild(projection, on_progress=lambda _, handled, __: bar.advance(handled))
        (after,) = (one for one in app.status() if one.name == projection.name)
    if json:
        print_json({"projection": projection.name, "records": bar.done, "seconds": bar.seconds, "status": after})
        return
    say(f"{projection.name} was folded anew from {plural(bar.done, 'record')} in {bar.seconds:.1f} s", style="green")
    if after.parked or after.blocked:
        note(f"{plural(after.parked + after.blocked, 'dead letter')}: headwater dlq list --pipeline {projection.name}")


@group.command()
def explain(
    context: typer.Context,
    name: Name,
    key: Annotated[list[str], typer.Argument(metavar="KEY", help="The row's key; several columns: in their order.")],
    json: Json = False,
) -> None:
    """Show how a row came to be: every event that touched it, with the columns it changed.

    Exit code 1: there is no such row. Exit code 5: the one in the table differs from what the log gives.
    """
    with opened(context) as app:
        found = app.explain(name, _key(app, name, key))
    if json:
        print_json(_explained(name, found))
    else:
        _show(name, found)
    if not found.same:
        raise typer.Exit(ExitCode.ATTENTION)
    if found.row is None:
        raise typer.Exit(ExitCode.REFUSED)


def _explained(name: str, found: Explanation) -> dict[str, Any]:
    from headwater.cli.event_lines import event_document

    steps = [
        event_document(step.record)
        | {"handler": step.handler, "deleted": step.deleted, "error": step.error}
        | {"changes": {column: {"old": old, "new": new} for column, (old, new) in step.changes.items()}}
        for step in found.steps
    ]
    return {"projection": name, "key": found.key, "steps": steps, "row": found.row, "stored": found.stored} | {
        "same": found.same
    }


def _show(name: str, found: Explanation) -> None:
    """A line for every column that an event changed."""
    made = table("at", "event", "handler", "column", "old", "new", whole=("column",))
    for step in found.steps:
        meta = step.event.meta
        lead = [short_time(meta.at), f"{meta.stream}:{meta.version}  {step.event.event_name}", step.handler]
        for column, (old, new) in step.changes.items():
            made.add_row(*lead, column, _cell(old), "deleted" if step.deleted else _cell(new))
            lead = ["", "", ""]
        if step.error:
            made.add_row(*lead, "", "", f"failed: {step.error}", style="red")
        elif not step.changes:
            made.add_row(*lead, "", "", "nothing changed")
    if found.steps:
        say(made)
    if found.row is None and found.stored is None:
        note(f"\n{name} has no row {found.key}{_why_none(found)}")
    elif found.same:
        say(f"\nthe row in the table is what the log gives ({plural(len(found.steps), 'event')})", style="green")
    else:
        _show_difference(found)


def _why_none(found: Explanation) -> str:
    if any(step.deleted for step in found.steps):
        return ": it was deleted"
    return ": its events could not be folded" if found.steps else ", and no event touched it"


def _show_difference(found: Explanation) -> None:
    folded, stored = found.row or {}, found.stored or {}
    note("\nthe row in the table differs from what the log gives:", style="red")
    made = table("column", "in the table", "by the log")
    for column in dict.fromkeys([*folded, *stored]):
        if folded.get(column) != stored.get(column) or not (folded and stored):
            made.add_row(column, _cell(stored.get(column)), _cell(folded.get(column)))
    say(made)
    note("it is behind (headwater status), has dead letters, or was folded by other logic (headwater doctor)")


def _cell(value: object) -> str:
    return "" if value is None else clipped(str(plain(value)))


def _key(app: App, name: str, texts: list[str]) -> object:
    """The key in the types of the table's columns."""
    projection = app.parts.fold(name)
    columns = list(projection.into.__table__.primary_key.columns)
    if len(columns) != len(texts):
        wanted = " ".join(column.name.upper() for column in columns)
        raise typer.BadParameter(f"the key of {name} is {wanted}: {len(columns)} values, and {len(texts)} were given")
    values = [_typed(column, text) for column, text in zip(columns, texts, strict=True)]
    return values[0] if len(values) == 1 else tuple(values)


def _typed(column: Any, text: str) -> object:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(column.type.python_type).validate_strings(text)
    except NotImplementedError:
        return text
    except ValidationError as error:
        raise typer.BadParameter(f"{text!r} cannot be a {column.name}: {error.errors()[0]['msg']}") from None
