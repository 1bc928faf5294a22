"""Capture files as a source: real Debezium messages, one JSON object a line.

``{"topic", "partition"?, "offset"?, "timestamp"?, "headers"?: [{"key", "value", "value_jsonconv"?}], "key",
"value"}``; ``key`` and ``value`` are what the converter wrote, as text, or base64 in ``key_b64`` and
``value_b64``; null stays null. Empty lines do not count.
"""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from cdc.decode import CAPTURE_UNPARSABLE, NEW_KEY, OLD_KEY
from cdc.lines import MAX_LINE_BYTES, Line, LineReader
from cdc.temporal import instant_of
from eventstore.errors import PipelineError, PositionOutsideLog
from eventstore.model.record import (
    CAPTURE_OFFSET,
    CAPTURE_PARTITION,
    CAPTURE_TOPIC,
    Position,
    Record,
    TopicPartition,
)

BATCH_BYTES = 64 * 1024 * 1024


class CaptureSource:
    """Implements :class:`~eventstore.model.log.Source` for one ``.jsonl`` or ``.jsonl.gz`` file.

    Its one topic is called ``capture:<name>:<8 hex digits>``, which tell the file's path and first line: the
    same file goes on where it stood, another one under its name begins anew. The offset of a record is its
    line's number - 1. A line that is no message is a record all the same, with the reason in the header
    ``capture.unparsable``, so that it becomes a dead letter. A batch has at most 64 MiB.

    A missing file is :class:`~eventstore.errors.NotFound`, one that may not be read
    :class:`~eventstore.errors.Unavailable`. Where a compressed file is damaged, reading raises
    :class:`~eventstore.errors.PipelineError`, after every record before that place.
    """

    def __init__(self, path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.path = Path(path).absolute()
        self._max = max_line_bytes
        name = self.path.name.encode("utf-8", "backslashreplace").decode()  # a name of a file may be no text
        self.topic = f"capture:{name}:{self._digest()}"
        self._partition: TopicPartition = (self.topic, 0)
        self._reader: LineReader | None = None
        self._next = 0
        self._counted: tuple[tuple[int, int], int] | None = None
        self._closed = threading.Event()

    def _digest(self) -> str:
        reader = LineReader(self.path, self._max)
        try:
            first = reader.read()
        except PipelineError:
            first = None  # broken in its first line: reading it says so
        finally:
            reader.close()
        told = hashlib.sha256(str(self.path).encode("utf-8", "surrogateescape"))
        told.update(first.data if first is not None else b"")
        return told.hexdigest()[:8]

    def partitions(self) -> Sequence[TopicPartition]:
        return [self._partition]

    def ends(self) -> Position:
        """The file is counted when it is first asked for, and again when it has changed.

        The place where a file is damaged counts as a record: a reader must not think that it has seen all.
        """
        status = self.path.stat() if self.path.exists() else None
        told = (status.st_size, status.st_mtime_ns) if status is not None else (0, 0)
        if self._counted is None or self._counted[0] != told:
            self._counted = (told, self._count())
        return {self._partition: self._counted[1]}

    def _count(self) -> int:
        reader, lines = LineReader(self.path, self._max), 0
        try:
            while reader.skip(1):
                lines += 1
        except PipelineError:
            lines += 1
        finally:
            reader.close()
        return lines

    def read(self, position: Position, limit: int) -> list[Record]:
        if self._partition not in position or limit < 1:
            return []
        self._go_to(position[self._partition])
        records: list[Record] = []
        size = 0
        while len(records) < limit and size < BATCH_BYTES:
            line = self._next_line(records)
            if line is None:
                break
            size += len(line.data)
            records.append(self._record(line))
            self._next += 1
        return records

    def _next_line(self, before: list[Record]) -> Line | None:
        assert self._reader is not None
        try:
            return self._reader.read()
        except PipelineError:
            self._rewind()
            if not before:
                raise
            return None  # what was read is handled first; the next call stumbles here again

    def _go_to(self, offset: int) -> None:
        if self._reader is None or offset < self._next:
            self._rewind()
            self._reader = LineReader(self.path, self._max)
        assert self._reader is not None
        self._next += self._reader.skip(offset - self._next)
        if self._next < offset:
            self._rewind()
            raise PositionOutsideLog(
                f"the position {offset} of {self.path.name} is past its end, which is {self.ends()[self._partition]}",
                "lines were taken off the file since it was read",
                "restore the file; one with other contents gets another name",
            )

    def _rewind(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._next = None, 0

    def wait(self, position: Position, timeout: float) -> None:
        if position.get(self._partition, 0) >= self.ends()[self._partition]:
            self._closed.wait(timeout)

    def close(self) -> None:
        self._closed.set()
        self._rewind()

    def __enter__(self) -> CaptureSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _record(self, line: Line) -> Record:
        offset = self._next
        if line.cut:
            return self._unparsable(line, f"the line is longer than {self._max:,} bytes")
        try:
            entry = orjson.loads(line.data)
            if type(entry) is not dict:
                raise ValueError(f"the line is a JSON {type(entry).__name__}, not an object")
            key, value = _bytes(entry, "key"), _bytes(entry, "value")
            return Record(self.topic, 0, offset, key, value, _headers(entry), _time(entry))
        except ValueError as error:
            return self._unparsable(line, str(error))

    def _unparsable(self, line: Line, why: str) -> Record:
        headers = {CAPTURE_UNPARSABLE: f"line {line.number}: {why}"}
        return Record(self.topic, 0, self._next, None, line.data, headers)


def _bytes(entry: dict[str, Any], name: str) -> bytes | None:
    encoded = entry.get(f"{name}_b64")
    text = entry.get(name) if encoded is None else encoded
    if text is None:
        if name not in entry and f"{name}_b64" not in entry:
            raise ValueError(f"the line has no {name}")
        return None
    if type(text) is not str:
        raise ValueError(f"{name} is text in a capture, and this is a JSON {type(text).__name__}")
    return text.encode() if encoded is None else b64decode(text, validate=True)


def _headers(entry: dict[str, Any]) -> dict[str, str]:
    """The message's headers, with where Debezium put it. Keys in headers are taken as JSON."""
    topic = entry.get("topic")
    if type(topic) is not str:
        raise ValueError("the line has no topic")
    listed = entry.get("headers")
    if listed is not None and type(listed) is not list:
        raise ValueError(f"headers of the line are a JSON {type(listed).__name__}, not a list")
    headers: dict[str, str] = {}
    for header in listed or ():
        if type(header) is not dict or type(header.get("key")) is not str:
            raise ValueError("a header of the line is no object with a key")
        name, value = header["key"], header.get("value")
        if name in (NEW_KEY, OLD_KEY) and type(header.get("value_jsonconv")) is str:
            value = header["value_jsonconv"]
        headers[name] = value if type(value) is str else orjson.dumps(value).decode()
    headers[CAPTURE_TOPIC] = topic
    for name, member in ((CAPTURE_PARTITION, "partition"), (CAPTURE_OFFSET, "offset")):
        number = entry.get(member)
        if number is not None:
            if type(number) is not int:
                raise ValueError(f"{member} of the line is no integer")
            headers[name] = str(number)
    return headers


def _time(entry: dict[str, Any]) -> datetime | None:
    millis = entry.get("timestamp")
    if millis is None:
        return None
    if type(millis) is not int:
        raise ValueError("timestamp of the line is no integer")
    try:
        return instant_of(millis * 1000)
    except OverflowError:
        raise ValueError(f"timestamp of the line is out of bounds: {millis}") from None
