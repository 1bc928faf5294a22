"""Decimals as Debezium writes them: unscaled in base64, as text, or as a double."""

from __future__ import annotations

from binascii import a2b_base64
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any

LARGEST_SCALE = 131_072  # digits on a side of the point. Source: PostgreSQL, numeric types
_LONGEST = 1 << 16  # bytes, above what its 147,455 digits need
_SMALL = 512  # bytes, up to which the built-in conversion, which is quadratic, is the fastest
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_WORDS = {
    "NAN": Decimal("NaN"),
    "POSITIVE_INFINITY": Decimal("Infinity"),
    "NEGATIVE_INFINITY": Decimal("-Infinity"),
}


def from_unscaled(raw: str, scale: int) -> Decimal:
    """Base64 of a big-endian two's complement, of which ``scale`` digits stand after the point."""
    data = a2b_base64(raw, strict_mode=True)
    if len(data) <= _SMALL:
        return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-scale, _EXACT)
    if len(data) > _LONGEST:
        raise ValueError(f"no number has {len(data)} bytes")
    number = int.from_bytes(data, "big", signed=True)
    digits = _digits(abs(number))
    return (digits if number >= 0 else digits.copy_negate()).scaleb(-scale, _EXACT)


def _digits(number: int) -> Decimal:
    """Halved until small: hostile numbers must not take seconds."""
    bits = number.bit_length()
    if bits <= 8 * _SMALL:
        return Decimal(number)
    low = bits // 2
    high = _EXACT.multiply(_digits(number >> low), _EXACT.power(2, low))
    return _EXACT.add(high, _digits(number & ((1 << low) - 1)))


def from_text(raw: str) -> Decimal:
    """``decimal.handling.mode=string``."""
    word = _WORDS.get(raw)
    try:
        return Decimal(raw) if word is None else word
    except InvalidOperation:
        raise ValueError(f"{raw[:80]!r} is no number") from None


def from_double(raw: Any) -> Decimal:
    """``decimal.handling.mode=double``: a number, or a word in quotes."""
    if raw in ("NaN", "Infinity", "-Infinity"):
        return Decimal(raw)
    if type(raw) is int or type(raw) is float:
        return Decimal(repr(raw))
    raise ValueError(f"a number expected, got {type(raw).__name__}")
