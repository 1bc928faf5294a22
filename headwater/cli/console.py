"""Printing: text for people, JSON for scripts. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
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

Json = Annotated[bool, typer.Option("--json", help="Print JSON.", show_default=False)]


def console(*, stderr: bool = False) -> Console:
    """A console that suits where it prints to. NO_COLOR and COLUMNS are honoured."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """An empty table with these columns; those in ``right`` hold numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        is_number = column in right
        made.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return made


def say(text: object = "", style: str | None = None) -> None:
    """Print a result."""
    console().print(text, style=style)


def note(text: object = "", style: str | None = None) -> None:
    """Print something that is not the result: progress, hints."""
    console(stderr=True).print(text, style=style)


def print_json(document: object, to: TextIO | None = None) -> None:
    """One JSON document."""
    print(orjson.dumps(plain(document), option=orjson.OPT_INDENT_2).decode(), file=to or sys.stdout)


def print_json_line(document: object) -> None:
    """One line of a stream of JSON documents."""
    print(orjson.dumps(plain(document)).decode(), flush=True)


def plain(value: Any) -> Any:
    """``value`` as JSON has it: decimals and times as text, bytes as text where they are, else as base64."""
    if value is None or (isinstance(value, (bool, float, str)) and not isinstance(value, Enum)):
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
