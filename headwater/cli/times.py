"""Times as people write them on a command line, and read them there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str) -> datetime:
    """``2026-07-01``, ``2026-07-01T12:00:00+02:00`` (without a zone: UTC), or an age such as ``90m`` or ``2d``."""
    try:
        if age := re.fullmatch(r"(\d{1,9})([smhd])", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time: write 2026-07-01, 2026-07-01T12:00:00Z, or an age such as 90m or 2d"
        ) from None


def short_time(at: datetime) -> str:
    """To the second, in UTC: enough to read, and sorted as text."""
    return at.strftime("%Y-%m-%d %H:%M:%S")
