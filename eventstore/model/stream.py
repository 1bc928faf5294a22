"""Names of streams and topics, and the partition a stream lives in."""

from __future__ import annotations

import re
from functools import lru_cache

from eventstore.errors import DeclarationError

_CATEGORY = re.compile(r"[a-z][a-z0-9]*")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
MAX_KEY_LENGTH = 500


def check_category(category: str) -> str:
    """A category is ``[a-z][a-z0-9]*``: it names a topic, and a stream is split at its first ``-``."""
    if not _CATEGORY.fullmatch(category):
        raise DeclarationError(
            f"{category!r} is not a category",
            "streams are named <category>-<key> and topics <app>.<category>, so a category is [a-z][a-z0-9]*",
            "use lower-case letters and digits only, beginning with a letter",
        )
    return category


def check_name(name: str, what: str) -> str:
    """The name of ``what`` ("an application") is ``[a-z][a-z0-9-]*``: topics and pipelines are called by it."""
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"{name!r} is not a name for {what}",
            "topics and pipelines are called by it, on the command line too, so it is [a-z][a-z0-9-]*",
            "use lower-case letters, digits and '-', beginning with a letter",
        )
    return name


def stream_name(category: str, key: object) -> str:
    """``<category>-<key>``; the key may hold anything that can be printed, also ``-`` and ``:``."""
    text = "" if key is None else str(key)
    if not text or len(text) > MAX_KEY_LENGTH or "\x00" in text or not _is_utf8(text):
        raise DeclarationError(
            f"{text[:40] if text else key!r} cannot be the key of a stream",
            f"a key has 1 to {MAX_KEY_LENGTH} characters, no NUL, and can be written in UTF-8",
            "give the entity a shorter, non-empty identifier",
        )
    return f"{category}-{text}"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=65536)
def split_stream(stream: str) -> tuple[str, str]:
    """``"order-o-1"`` → ``("order", "o-1")``: split at the first ``-``."""
    category, dash, key = stream.partition("-")
    if not dash or not key or not _CATEGORY.fullmatch(category):
        raise DeclarationError(f"{stream!r} is not the name of a stream", "streams are named <category>-<key>")
    return category, key


def topic_name(app: str, category: str) -> str:
    return f"{app}.{category}"


@lru_cache(maxsize=65536)
def partition_of(stream: str, partitions: int) -> int:
    """The partition of a stream: Kafka's default partitioner (murmur2), the same on every backend.

    Source: ``org.apache.kafka.common.utils.Utils.murmur2`` and ``toPositive``.
    """
    return (murmur2(stream.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit MurmurHash2 with seed 0x9747b28c, as an unsigned integer."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * multiplier & mask
        k ^= k >> 24
        h = (h * multiplier & mask) ^ (k * multiplier & mask)
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * multiplier & mask
    h ^= h >> 13
    h = h * multiplier & mask
    return h ^ (h >> 15)
