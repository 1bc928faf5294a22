"""Row images: the last known state of every source row, read a batch at a time and kept by the leaseholder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, select

from cdc import schema
from cdc.message import SourcePosition
from cdc.rows import decode_row, encode_row
from eventstore.sql.upsert import upsert

CACHED = 50_000
_ASKED_AT_ONCE = 500
_T = schema.row_image.c


class ImageKey(NamedTuple):
    """``moved_to``: "" for a row that stands; for one that left, the key it moves to and where it did so."""

    table: str
    key: str
    moved_to: str = ""


@dataclass(slots=True)
class Image:
    """A row as last seen. ``row`` is None while it is awaited from another key: ``held`` then waits for it.

    ``seen`` is the snapshot (its LSN) that read the row last. ``copies`` counts equal rows of a table without a
    key, ``confirmed`` those of them that this snapshot read, or that came after it. ``typed`` is the row as its
    model, where known. Never changed in place: a new state is a new image.
    """

    row: dict[str, Any] | None
    position: SourcePosition | None
    partition: int = 0
    copies: int = 1
    confirmed: int = 0
    seen: int | None = None
    held: str | None = None
    typed: Any = field(default=None, compare=False)


class Images:
    """The images of one ingest: what is stored, and over it what the batch at hand has changed.

    ``get``, ``put`` and ``remove`` work on the batch; ``write`` stores it; ``settle`` makes it what is known.
    """

    def __init__(self, ingest: str, cached: int = CACHED) -> None:
        self._ingest, self._limit = ingest, cached
        self._known: OrderedDict[ImageKey, Image | None] = OrderedDict()
        self.changed: dict[ImageKey, Image | None] = {}
        self._connection: Connection | None = None

    def forget(self) -> None:
        self._known.clear()
        self.changed.clear()

    def begin(self, connection: Connection, keys: Iterable[ImageKey]) -> None:
        """Start a batch: read the images of ``keys`` that are not known. ``connection`` serves until it ends."""
        self._connection = connection
        self.changed = {}
        wanted = list(dict.fromkeys(key for key in keys if key not in self._known))
        for key in wanted:
            self._known[key] = None
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            self._read(connection, wanted[start : start + _ASKED_AT_ONCE])

    def _read(self, connection: Connection, keys: Sequence[ImageKey]) -> None:
        tables: dict[str, list[str]] = {}
        for key in keys:
            tables.setdefault(key.table, []).append(key.key)
        for table, names in tables.items():
            for key, image in self._select(connection, _all(self._ingest, table).where(_T.key.in_(names))):
                self._known[key] = image

    def _select(self, connection: Connection, query: Select[Any]) -> list[tuple[ImageKey, Image]]:
        return [(ImageKey(row[0], row[1], row[2]), _image(row)) for row in connection.execute(query)]

    def get(self, key: ImageKey) -> Image | None:
        if key in self.changed:
            return self.changed[key]
        if key in self._known:
            self._known.move_to_end(key)
        else:
            assert self._connection is not None
            self._known[key] = None
            self._read(self._connection, [key])
        return self._known[key]

    def put(self, key: ImageKey, image: Image) -> None:
        self.changed[key] = image

    def remove(self, key: ImageKey) -> None:
        self.changed[key] = None

    def before(self, key: ImageKey) -> Image | None:
        """The image as it was when the batch began."""
        return self._known.get(key)

    def of_table(
        self, table: str, before: int | None = None, partition: int | None = None
    ) -> list[tuple[ImageKey, Image]]:
        """The images of ``table``, as the batch has left them so far, in order of keys.

        ``before``: only those last changed below this LSN; ``partition``: only those of this partition.
        """
        assert self._connection is not None
        query = _all(self._ingest, table)
        if before is not None:
            query = query.where(_T.lsn < before)
        if partition is not None:
            query = query.where(_T.partition == partition)
        found: dict[ImageKey, Image] = dict(self._select(self._connection, query))
        for key, image in found.items():
            self._known.setdefault(key, image)
        for key, changed in self.changed.items():
            if key.table == table:
                found.pop(key, None)
                if changed is not None and _within(changed, before, partition):
                    found[key] = changed
        return sorted(found.items())

    def write(self, connection: Connection) -> None:
        """Store what the batch has changed: one statement for what is gone, one for what is there."""
        gone = [
            {"k_table": key.table, "k_key": key.key, "k_moved": key.moved_to}
            for key, image in self.changed.items()
            if image is None and self._known.get(key) is not None
        ]
        if gone:
            connection.execute(_delete(self._ingest), gone)
        there = [_stored(self._ingest, key, image) for key, image in self.changed.items() if image is not None]
        if there:
            connection.execute(upsert(connection, schema.row_image), there)

    def settle(self) -> None:
        """The batch is committed."""
        self._known.update(self.changed)
        for key in self.changed:
            self._known.move_to_end(key)
        self.changed = {}
        while len(self._known) > self._limit:
            self._known.popitem(last=False)


def _within(image: Image, before: int | None, partition: int | None) -> bool:
    if partition is not None and image.partition != partition:
        return False
    return before is None or (image.position is not None and image.position.lsn < before)


def _all(ingest: str, table: str) -> Select[Any]:
    columns = (_T.source_table, _T.key, _T.moved_to, _T.partition, _T.copies, _T.confirmed)
    query: Select[Any] = select(*columns, _T.seen, _T.row, _T.held, _T.commit_lsn, _T.lsn, _T.total_order)
    return query.where(_T.ingest == ingest, _T.source_table == table)


def _image(row: Any) -> Image:
    _, _, _, partition, copies, confirmed, seen, text, held, commit, lsn, order = row
    position = None if commit is None else SourcePosition(commit, lsn, order)
    return Image(None if text is None else decode_row(text), position, partition, copies, confirmed, seen, held)


def _stored(ingest: str, key: ImageKey, image: Image) -> dict[str, Any]:
    commit, lsn, order = image.position or (None, None, None)
    return {
        "ingest": ingest,
        "source_table": key.table,
        "key": key.key,
        "moved_to": key.moved_to,
        "partition": image.partition,
        "copies": image.copies,
        "confirmed": image.confirmed,
        "row": None if image.row is None else encode_row(image.row),
        "held": image.held,
        "commit_lsn": commit,
        "lsn": lsn,
        "total_order": order,
        "seen": image.seen,
    }


def _delete(ingest: str) -> Any:
    return delete(schema.row_image).where(
        _T.ingest == ingest,
        _T.source_table == bindparam("k_table"),
        _T.key == bindparam("k_key"),
        _T.moved_to == bindparam("k_moved"),
    )
