"""``headwater execute``: run a command, print its receipt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.cli.console import Json, clipped, plain, plural, print_json, say, table
from headwater.cli.loading import opened

if TYPE_CHECKING:
    from eventstore.model.message import Command, Event
    from eventstore.model.request import Receipt
    from headwater.app import App


def execute(
    context: typer.Context,
    command: Annotated[
        str, typer.Argument(metavar="COMMAND", help="The command's name; left out: list what there is.")
    ] = "",
    data: Annotated[str, typer.Argument(metavar="JSON", help="Its fields as a JSON object; - reads stdin.")] = "{}",
    id: Annotated[str | None, typer.Option(help="Makes it idempotent: carried out once, however often sent.")] = None,
    wait: Annotated[list[str] | None, typer.Option(metavar="PROJECTION", help="Until it shows the outcome.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for that.", min=0)] = 5.0,
    expected: Annotated[int | None, typer.Option(metavar="VERSION", help="The version the stream must be at.")] = None,
    user: Annotated[str | None, typer.Option(help="Who wants it; kept with the events.")] = None,
    tenant: Annotated[str | None, typer.Option(help="For whom; kept with the events.")] = None,
    json: Json = False,
) -> None:
    """Run a command, print its receipt.

    headwater execute PayOrder '{"order_id": "o-1"}'
    """
    with opened(context) as app:
        if not command:
            _list(app, json)
            return
        wanted = [app.parts.projection(name) for name in wait or ()]
        receipt = app.execute(
            _read_command(app, command, sys.stdin.read() if data == "-" else data),
            id=id,
            expected=expected,
            user=user,
            tenant=tenant,
        )
        if json:
            print_json(_receipt_document(receipt))
        else:
            _show(receipt)
        app.wait(wanted, receipt, timeout=timeout)  # the command is stored, and said to be, however this ends


def _read_command(app: App, name: str, data: str) -> Command:
    """The command ``name`` with the fields in ``data``; what does not fit is said field by field."""
    from pydantic import ValidationError

    from eventstore.errors import CommandError

    kind = app.parts.command(name)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        found = "\n".join(_complaint(each["loc"], each["msg"]) for each in error.errors(include_url=False))
        raise CommandError(f"this is no {kind.__name__}", found, f"its fields are {_fields_of(kind)}") from None


def _complaint(location: tuple[int | str, ...], message: str) -> str:
    field = ".".join(map(str, location))
    return f"{field}: {message}" if field else message


def _fields_of(kind: type[Command]) -> str:
    """``order_id: str, note: str = ''``"""
    from pydantic._internal._repr import display_as_type

    shown = []
    for name, field in kind.model_fields.items():
        default = "" if field.is_required() else f" = {field.get_default(call_default_factory=False)!r}"
        shown.append(f"{name}: {display_as_type(field.annotation)}{default}")
    return ", ".join(shown) or "none"


def _list(app: App, json: bool) -> None:
    routes = sorted(app.parts.routes.items(), key=lambda route: (route[1].category, route[0].__name__))
    if json:
        print_json(
            [
                {"command": kind.__name__, "category": aggregate.category, "schema": kind.model_json_schema()}
                for kind, aggregate in routes
            ]
        )
        return
    made = table("command", "of", "fields")
    for kind, aggregate in routes:
        made.add_row(kind.__name__, aggregate.category, _fields_of(kind))
    say(made)


def _receipt_document(receipt: Receipt) -> dict[str, object]:
    return {
        "stream": receipt.stream,
        "version": receipt.version,
        "repeated": receipt.repeated,
        "events": [_new_event_document(event) for event in receipt.events],
        "position": plain(receipt.position),
    }


def _new_event_document(event: Event) -> dict[str, object]:
    return {
        "type": event.event_name,
        "stream": event.meta.stream,
        "version": event.meta.version,
        "id": event.meta.id,
        "data": event.model_dump(mode="json"),
    }


def _show(receipt: Receipt) -> None:
    said = plural(len(receipt.events), "event") if receipt.events else "nothing changed"
    again = ", carried out before under this id" if receipt.repeated else ""
    say(f"{receipt.stream} is at version {receipt.version} ({said}{again})", style="green")
    for event in receipt.events:
        say(f"{event.meta.version:>6}  {event.event_name}  {clipped(event.model_dump_json())}")
