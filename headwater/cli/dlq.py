"""``headwater dlq``: what could not be handled, and what to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from headwater.cli.console import Json, note, number, plural, print_json, readable, say, table
from headwater.cli.exit_codes import ExitCode
from headwater.cli.loading import opened

if TYPE_CHECKING:
    from eventstore.pipeline import DeadLetter, LetterState
    from headwater.app import App

group = typer.Typer(help="Dead letters: what could not be handled, and what waits behind it.", no_args_is_help=True)
Id = Annotated[int, typer.Argument(metavar="ID", help="The dead letter's id.")]
Key = Annotated[str | None, typer.Option(metavar="KEY", help="Of this key, as dlq list shows it.")]
Pipeline = Annotated[str | None, typer.Option(metavar="NAME", help="Of this pipeline.")]
SHOWN_BYTES = 4_000


@group.command("list")
def list_(
    context: typer.Context,
    pipeline: Pipeline = None,
    key: Key = None,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are resolved, discarded, superseded.")] = False,
    after: Annotated[int, typer.Option(metavar="ID", help="Those with a higher id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most that many.")] = 100,
    json: Json = False,
) -> None:
    """List dead letters in the order in which they came."""
    from eventstore.pipeline import CLOSED, OPEN

    with opened(context) as app:
        _check_pipeline(app, pipeline)
        states = CLOSED if closed else OPEN
        found = app.dead_letters.list(pipeline, states=states, key=key, after=after, limit=limit)
        open_ = sum(count for (_, state), count in app.dead_letters.counts().items() if state in OPEN)
    if json:
        print_json([summary(letter) for letter in found])
        return
    last = "note" if closed else "error"
    made = table("id", "state", "pipeline", "key", "tries", last, right=("id", "tries"), whole=("state", "pipeline"))
    for letter in found:
        error = letter.note if closed else _brief(letter.error) or "waits behind another of its key"
        style = "red" if letter.state == "parked" else None
        row = (str(letter.id), letter.state.value, letter.pipeline, letter.key, number(letter.attempts), error)
        made.add_row(*row, style=style)
    if found:
        say(made)
    said = plural(open_, "open dead letter")
    if closed or key or pipeline or after:
        said = f"{number(len(found))} shown, {said} in all"
    note(said + (", more with --after" if len(found) == limit else ""))


def _check_pipeline(app: App, name: str | None) -> None:
    """Refuse a name that neither the application nor a dead letter has: that nothing was found is no good news then."""
    from eventstore.errors import NotFound

    known = {*app.parts.projections, *app.parts.ingests, *(pipeline for pipeline, _ in app.dead_letters.counts())}
    if name is not None and name not in known:
        raise NotFound(f"there is no pipeline {name!r}", f"this application has {', '.join(sorted(known)) or 'none'}")


def summary(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter without its record's content and traceback."""
    names = ("id", "pipeline", "generation", "state", "key", "keys", "source", "error_type", "error", "fingerprint")
    times = ("attempts", "first_failed_at", "last_failed_at", "closed_at", "note")
    return {name: getattr(letter, name) for name in (*names, *times)}


def document(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter, whole. Bytes that are no text are ``base64:…``."""
    record = letter.record
    return summary(letter) | {
        "traceback": letter.traceback,
        "record": {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": readable(record.key),
            "value": readable(record.value),
            "headers": dict(record.headers),
            "timestamp": record.timestamp,
        },
    }


def _brief(error: str) -> str:
    """What happened and why, without the code before it and the advice after it."""
    from eventstore.errors import told

    what, why, _ = told(error)
    return "\n".join(line.strip() for line in (what, why) if line)


@group.command()
def show(
    context: typer.Context,
    id: Id,
    json: Json = False,
) -> None:
    """Show a dead letter, whole: the record, the error with its traceback, and what waits behind it."""
    with opened(context) as app:
        letter = app.dead_letters.get(id)
        of_key = app.dead_letters.list(letter.pipeline, key=letter.key, after=id, limit=None)
        behind = [one.id for one in of_key if one.state == "blocked"]
    if json:
        print_json(document(letter) | {"behind": behind})
    else:
        _show(letter, behind)


def _show(letter: DeadLetter, behind: list[int]) -> None:
    made = table("", "")
    made.show_header = False
    record = letter.record
    rows = {
        "dead letter": f"{letter.id}, {letter.state}" + (f": {letter.note}" if letter.note else ""),
        "pipeline": letter.pipeline,
        "key": ", ".join(letter.keys),
        "record": record.place,
        "came from": letter.source,
        "failed first": letter.first_failed_at.isoformat(timespec="seconds"),
        "failed last": letter.last_failed_at.isoformat(timespec="seconds") if letter.attempts else "",
        "tries": number(letter.attempts) if letter.attempts else "",
        "error": letter.error or "none: it waits behind another of its key",
        "fingerprint": letter.fingerprint,
        "behind it": ", ".join(map(str, behind)),
        "record key": _clipped(record.key),
        "record value": _clipped(record.value),
        "headers": "\n".join(f"{name}: {value}" for name, value in record.headers.items()),
    }
    for name, value in rows.items():
        if value:
            made.add_row(name, value)
    say(made)
    if letter.traceback:
        say(f"\n{letter.traceback}")


def _clipped(data: bytes | None) -> str:
    text = _without_schema(readable(data) or "")
    left = len(text) - SHOWN_BYTES
    return text if left <= 0 else f"{text[:SHOWN_BYTES]}… ({number(left)} more characters: --json)"


def _without_schema(text: str) -> str:
    """The payload of a message that carries its schema with it, which is most of it and the same in each."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(message, dict) or message.keys() != {"schema", "payload"}:
        return text
    return f"{orjson.dumps(message['payload'], option=orjson.OPT_INDENT_2).decode()}\n(its schema is left out: --json)"


@group.command()
def retry(
    context: typer.Context,
    id: Annotated[int | None, typer.Argument(metavar="ID", help="One dead letter.")] = None,
    key: Key = None,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this pipeline, which is resumed if it paused.")
    ] = None,
    json: Json = False,
) -> None:
    """Try again: one, those of a key, or all of a pipeline, in order, until one of a key fails again."""
    if id is None and key is None and pipeline is None:
        raise typer.BadParameter("say which: an ID, --key KEY, or --pipeline NAME")
    with opened(context) as app:
        _check_pipeline(app, pipeline)
        before = _chosen(app, id, key, pipeline)
        chosen = {letter.pipeline for letter in before}
        mended = [status.name for status in app.status() if status.stale and status.name in chosen]
        app.dead_letters.retry(id=id, key=key, pipeline=pipeline)
        after = _worked_off(app, before)
    _tell(before, after, json)
    for name in mended:
        note(f"{name} goes on with the rows it has; headwater projection rebuild {name} folds them by the new code")


@group.command()
def collapse(
    context: typer.Context,
    key: Annotated[str, typer.Option(metavar="KEY", help="The key, as dlq list shows it.")],
    pipeline: Pipeline = None,
    json: Json = False,
) -> None:
    """Keep only the newest change of a key, which carries the whole row, and try that one again."""
    with opened(context) as app:
        _check_pipeline(app, pipeline)
        before = app.dead_letters.list(pipeline, key=key, limit=None)
        app.collapse(key, pipeline=pipeline)
        after = _worked_off(app, before)
    _tell(before, after, json)


@group.command()
def discard(
    context: typer.Context,
    id: Id,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; it is kept.")],
    json: Json = False,
) -> None:
    """Give one up, for good. What waited behind it goes on."""
    with opened(context) as app:
        letter = app.dead_letters.get(id)
        behind = [one for one in app.dead_letters.list(letter.pipeline, key=letter.key, limit=None) if one.id != id]
        app.dead_letters.discard(id, why)
        after = _worked_off(app, [letter, *behind])
    _tell([letter, *behind], after, json)


def _chosen(app: App, id: int | None, key: str | None, pipeline: str | None) -> list[DeadLetter]:
    """What a retry is about, and what waits behind it."""
    from eventstore.errors import NotFound

    if id is None:
        found = app.dead_letters.list(pipeline, key=key, limit=None)
        if key is not None and not found:
            raise NotFound(f"there is no open dead letter of {key}", "", "headwater dlq list shows them")
        return found
    letter = app.dead_letters.get(id)
    behind = app.dead_letters.list(letter.pipeline, key=letter.key, limit=None)
    return [letter, *(one for one in behind if one.id != id)]


def _worked_off(app: App, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Let whoever runs the pipelines do it, or do it here; the letters as they are then."""
    app.work_off(sorted({letter.pipeline for letter in letters}))
    return [app.dead_letters.get(letter.id) for letter in letters]


def _tell(before: list[DeadLetter], after: list[DeadLetter], json: bool) -> None:
    was: dict[int, LetterState] = {letter.id: letter.state for letter in before}
    if json:
        print_json([{"was": was[letter.id], **summary(letter)} for letter in after])
    else:
        made = table("id", "key", "was", "is", "error", right=("id",), whole=("was", "is"))
        for letter in after:
            open_ = letter.closed_at is None
            error = _brief(letter.error) if open_ else letter.note
            style = "yellow" if open_ else "green"
            made.add_row(str(letter.id), letter.key, was[letter.id].value, letter.state.value, error, style=style)
        if after:
            say(made)
        left = sum(letter.closed_at is None for letter in after)
        note(f"{plural(len(after) - left, 'dead letter')} closed, {number(left)} left")
    if any(letter.closed_at is None for letter in after):
        raise typer.Exit(ExitCode.ATTENTION)
