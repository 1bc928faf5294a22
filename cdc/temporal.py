"""Dates and times as Debezium writes them, and as text where Python's own types end.

Python knows the years 1 to 9999, days of 24 hours and microseconds. What the source sent beyond that is
given as ISO 8601 text, which loses nothing: ``"infinity"``, ``"-infinity"``, ``"-4712-01-02"`` (years as ISO
counts them: 0 is 1 BC), ``"24:00:00"``, ``"2026-01-01T00:00:00.000000001"``.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

INFINITY, MINUS_INFINITY = "infinity", "-infinity"
_EPOCH, _UTC_EPOCH = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_DAY, _LAST_DAY = (date(1, 1, 1) - date(1970, 1, 1)).days, (date(9999, 12, 31) - date(1970, 1, 1)).days
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097  # the Gregorian calendar repeats
_NANOS_A_DAY = 86_400 * 10**9
_MICROS_A_DAY = 86_400 * 10**6
_FIRST_MICRO, _LAST_MICRO = _FIRST_DAY * _MICROS_A_DAY, (_LAST_DAY + 1) * _MICROS_A_DAY - 1

# PostgreSQL's infinite dates as they overflow Debezium's int32: streamed ones, then those of a snapshot.
_INFINITE_DAYS = {
    -2_147_472_692: INFINITY,
    -2_147_472_691: MINUS_INFINITY,
    -622_191_234: INFINITY,
    -625_821_272: MINUS_INFINITY,
}
# Its infinite timestamps, by the number of units in a second. Source: PGStatement of the PostgreSQL driver.
_INFINITE_TIMES = {
    10**3: {9_223_372_036_825_200: INFINITY, -9_223_372_036_832_400: MINUS_INFINITY},
    10**6: {9_223_372_036_825_200_000: INFINITY, -9_223_372_036_832_400_000: MINUS_INFINITY},
    10**9: {},
}
_FINER = re.compile(r"\.\d{6}0*[1-9]")
_MICROS_LENGTH = len("00:00:00.000000")
_OFFSET = r"(Z|[+-]\d\d(:?\d\d){0,2})"
_CLOCK = r"-?\d\d+:\d\d(:\d\d(\.\d{1,9})?)?"
_DAY = r"[+-]?\d{4,9}-\d\d-\d\d"
_DATE = re.compile(rf"{_DAY}( BC)?Z?|-?infinity")
_TIME = re.compile(rf"{_CLOCK}Z?")
_ZONED_TIME = re.compile(rf"{_CLOCK}{_OFFSET}")
_LOCAL = re.compile(rf"{_DAY}[T ]{_CLOCK}Z?( BC)?|-?infinity")
_ZONED = re.compile(rf"{_DAY}[T ]{_CLOCK}{_OFFSET}( BC)?|-?infinity")


def instant_of(micros: int) -> datetime:
    """The instant so many microseconds after 1970, in UTC; OverflowError outside of the years 1 to 9999."""
    return _UTC_EPOCH + timedelta(microseconds=micros)


def micros_of(at: datetime | None) -> int:
    """``at``, an instant, in microseconds since 1970; 0 when it is not known."""
    return 0 if at is None else (at - _UTC_EPOCH) // _MICROSECOND


def date_of_days(days: int) -> date | str:
    """The date so many days after 1970-01-01."""
    if _FIRST_DAY <= days <= _LAST_DAY:
        return date.fromordinal(_EPOCH_ORDINAL + days)
    return _INFINITE_DAYS.get(days) or _civil(days)


def _civil(days: int) -> str:
    """ISO 8601 with an expanded year, as Java prints it."""
    cycles, rest = divmod(days - _FIRST_DAY, _CYCLE_DAYS)
    within = date.fromordinal(rest + 1)
    year = within.year + cycles * _CYCLE_YEARS
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    return f"{sign}{abs(year):04d}-{within.month:02d}-{within.day:02d}"


def time_of_day(count: int, units: int) -> time | str:
    """The time of day after ``count`` units, of which a second has ``units``; text outside of 0:00 to 23:59:59."""
    nanos = count * (10**9 // units)
    if 0 <= nanos < _NANOS_A_DAY and nanos % 1000 == 0:
        seconds, micros = divmod(nanos // 1000, 10**6)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        return time(hour, minute, second, micros)
    return _clock(nanos)


def _clock(nanos: int) -> str:
    seconds, fraction = divmod(abs(nanos), 10**9)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{'-' if nanos < 0 else ''}{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{_digits(fraction)}" if fraction else text


def _digits(nanos: int) -> str:
    return f"{nanos:09d}" if nanos % 1000 else f"{nanos // 1000:06d}"


def local_time(count: int, units: int) -> datetime | str:
    """The local time that reads as ``count`` units after 1970-01-01T00:00."""
    if units <= 10**6 or count % 1000 == 0:
        micros = count * (10**6 // units) if units <= 10**6 else count // 1000
        if _FIRST_MICRO <= micros <= _LAST_MICRO:
            return _EPOCH + timedelta(microseconds=micros)
    infinite = _INFINITE_TIMES[units].get(count)
    if infinite is not None:
        return infinite
    days, nanos = divmod(count * (10**9 // units), _NANOS_A_DAY)
    day = date_of_days(days)
    return f"{day if isinstance(day, str) else day.isoformat()}T{_clock(nanos)}"


def parse_date(text: str) -> date | str:
    """ISO 8601, as Debezium's IsoDate writes it (with or without a ``Z``)."""
    try:
        return date.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return _beyond(text, _DATE)


def parse_time(text: str) -> time | str:
    """A time of day without an offset (a ``Z`` says nothing)."""
    try:
        return text if _has_nanos(text) else time.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return _beyond(text, _TIME)


def parse_local(text: str) -> datetime | str:
    """A date and time without an offset (a ``Z`` says nothing)."""
    try:
        return text if _has_nanos(text) else datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return _beyond(text, _LOCAL)


def parse_zoned_time(text: str) -> time | str:
    """A time of day with an offset, as it is."""
    try:
        return text if _has_nanos(text) else time.fromisoformat(text)
    except ValueError:
        return _beyond(text, _ZONED_TIME)


def parse_zoned(text: str) -> datetime | str:
    """An instant, in UTC."""
    try:
        parsed = datetime.fromisoformat(text)
        if _has_nanos(text):
            return text
        return parsed if parsed.tzinfo is UTC else _in_utc(parsed)
    except (ValueError, OverflowError):
        return _beyond(text, _ZONED)


def _in_utc(parsed: datetime) -> datetime:
    if parsed.tzinfo is None:
        raise ValueError(f"{parsed} has no time zone")
    return parsed.astimezone(UTC)


def _has_nanos(text: str) -> bool:
    """Whether a fraction is finer than Python's times, which would cut it off silently."""
    return len(text) > _MICROS_LENGTH and _FINER.search(text) is not None


def _beyond(text: str, shape: re.Pattern[str]) -> str:
    if shape.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is no date or time")
    return text
