"""Printing: text for people, JSON for scripts. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import orjson
import typer
from pydantic import BaseModel

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 160
"""How wide lines may be when nobody says so: what is piped into a file should not be cut to a terminal's 80."""

SHOWN_CHARACTERS = 10_000
# Control characters but for new lines and tabs, what turns the direction of writing, halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.", show_default=False)]


def write_anything() -> None:
    """Let a character that the terminal's encoding does not have be written as ``\\u2192``, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False) -> Console:
    """A console that suits where it prints to. NO_COLOR and COLUMNS are honoured."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """An empty table with these columns; those in ``right`` hold numbers, those in ``whole`` names.

    Numbers and names are not broken where a terminal is narrow, as long as something else can be.
    """
    from rich import box
    from rich.table import Table

    class PrintableTable(Table):
        def add_row(self, *cells: Any, **style: Any) -> None:
            super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **style)

    made = PrintableTable(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold"
    )
    for column in columns:
        is_number = column in right
        is_whole = is_number or column in whole
        made.add_column(column, justify="right" if is_number else "left", no_wrap=is_whole, overflow="fold")
    return made


def printable(text: str) -> str:
    """``text`` without what would steer a terminal, or cannot be written: ``\\x1b`` for the escape character."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def clipped(text: str) -> str:
    """What people are shown of a long text; setting millions of characters in lines takes minutes."""
    left = len(text) - SHOWN_CHARACTERS
    return text if left <= 0 else f"{text[:SHOWN_CHARACTERS]}… ({number(left)} more characters: --json)"


def say(text: object = "", style: str | None = None) -> None:
    """Print a result."""
    console().print(printable(text) if isinstance(text, str) else text, style=style)


def note(text: object = "", style: str | None = None) -> None:
    """Print something that is not the result: progress, hints."""
    console(stderr=True).print(printable(text) if isinstance(text, str) else text, style=style)


def print_json(document: object, to: TextIO | None = None) -> None:
    """One JSON document."""
    to = to or sys.stdout
    print(_dumped(document, to, orjson.OPT_INDENT_2), file=to)


def print_json_line(document: object) -> None:
    """One line of a stream of JSON documents."""
    print(_dumped(document, sys.stdout), flush=True)


def _dumped(document: object, to: TextIO, option: int = 0) -> str:
    """JSON in the characters that ``to`` can write: beside ASCII there are some in its texts only."""
    text = orjson.dumps(plain(document), option=option).decode()
    if (getattr(to, "encoding", None) or "utf-8").lower().startswith("utf"):
        return text
    return _BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def plain(value: Any) -> Any:
    """``value`` as JSON has it: decimals and times as text, bytes as text where they are, else as base64."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if value is None or (isinstance(value, (bool, float)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {_key(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return readable(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) and value.is_finite() else str(value)


def _key(key: object) -> str:
    """The key of an object; a partition is written as Kafka's tools do: ``topic[0]``."""
    match key:
        case (str() as topic, int() as partition):
            return f"{topic}[{partition}]"
    return str(key)


def readable(data: bytes | None) -> str | None:
    """Bytes as text; those that are none as ``base64:…``."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        from base64 import b64encode

        return f"base64:{b64encode(data).decode()}"


def number(value: float) -> str:
    """``12345.6`` → ``12,346``."""
    return f"{value:,.0f}"


def plural(count: int, word: str) -> str:
    return f"{number(count)} {word}{'' if count == 1 else 's'}"
