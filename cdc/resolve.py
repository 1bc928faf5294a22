"""From messages to changes: row images give what Debezium left out. Protocols, section 3.

- ``before`` is the row's image, whatever the REPLICA IDENTITY; an unchanged TOAST value is carried over.
- A row that was never seen has no ``before``: its first ``u`` is a Created, its ``d`` changes nothing.
- A primary-key change arrives as two messages, maybe in two partitions, in either order: ``d`` leaves its
  image under way to the new key, ``c`` waits for it. Whichever completes the pair makes one Rekeyed;
  changes of the new key that come in between wait too.
- Rows of a table without a key are told by all their values, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from cdc.change import Created, Deleted, Origin, Rekeyed, Updated
from cdc.held import Delivery, dump, load
from cdc.images import Image, ImageKey, Images
from cdc.message import UNCHANGED, Row, RowMessage, SourcePosition
from cdc.rows import key_text, row_identity
from eventstore.errors import IncompleteRow, Refused

Kind: TypeAlias = type[Created[Any]] | type[Updated[Any]] | type[Deleted[Any]] | type[Rekeyed[Any]]


class RowChange(NamedTuple):
    """A change of one row: ``kind`` says which of ``before`` and ``after`` it has.

    ``cause`` names it uniquely in the source, the same whenever it is delivered; ``place`` is the record.
    """

    kind: Kind
    table: str
    key: str
    before: Image | None
    after: Image | None
    origin: Origin
    cause: str
    place: str


class Resolver:
    """Applies messages to images, one after the other; ``changes`` collects what that comes to.

    ``truncated``: where tables were emptied last. ``refuted``: whether a later snapshot has shown that the
    row of a message, which has no image, is gone.
    """

    def __init__(
        self, images: Images, truncated: dict[str, SourcePosition], refuted: Callable[[RowMessage], bool]
    ) -> None:
        self._images, self.truncated, self._refuted = images, truncated, refuted
        self.changes: list[RowChange] = []
        self.truncations: set[str] = set()

    def apply(self, delivery: Delivery) -> None:
        message = delivery.message
        if is_older(message.position, self.truncated.get(message.table)):
            return
        if message.op == "t":
            self._truncate(delivery)
        elif message.key is None:
            self._apply_without_key(delivery)
        else:
            self._apply_to_row(delivery, ImageKey(message.table, key_text(message.key)))

    # ---------------------------------------------------------------- rows with a key

    def _apply_to_row(self, delivery: Delivery, key: ImageKey) -> None:
        message, image = delivery.message, self._images.get(key)
        if image is not None and image.held is not None:
            self._images.put(key, replace(image, held=dump([*load(image.held), delivery])))
        elif message.op == "d" and message.new_key is not None:
            self._depart(delivery, key, image)
        elif message.op == "d":
            self._delete(delivery, key, image)
        elif message.old_key is not None and message.op == "c":
            self._arrive(delivery, key)
        else:
            self._set(delivery, key, image)

    def _set(self, delivery: Delivery, key: ImageKey, image: Image | None) -> None:
        message = delivery.message
        if message.op == "r" and image is not None and is_older(message.position, image.position):
            return
        if image is None and self._refuted(message):
            return
        row = filled(delivery, key, None if image is None else image.row)
        after = _image(row, message, image)
        self._images.put(key, after)
        if image is None:
            self._change(Created, delivery, key, None, after)
        elif image.row == row:
            after.typed = image.typed
        else:
            self._change(Updated, delivery, key, image, after)

    def _delete(self, delivery: Delivery, key: ImageKey, image: Image | None) -> None:
        if image is not None:
            self._images.remove(key)
            self._change(Deleted, delivery, key, image, None)

    def _depart(self, delivery: Delivery, key: ImageKey, image: Image | None) -> None:
        message = delivery.message
        assert message.new_key is not None
        departed = Image(None, message.position, message.partition) if image is None else image
        self._images.remove(key)
        new = ImageKey(key.table, key_text(message.new_key))
        arrival = self._images.get(new)
        if arrival is not None and arrival.held is not None:
            first, *rest = load(arrival.held)
            if _way(first.message, new.key) == _way(message, new.key) and _comes_from(first.message) == key.key:
                self._complete(first, new, departed)
                for waiting in rest:
                    self.apply(waiting)
                return
        self._images.put(key._replace(moved_to=_way(message, new.key)), departed)

    def _arrive(self, delivery: Delivery, key: ImageKey) -> None:
        message = delivery.message
        left = ImageKey(key.table, _comes_from(message), _way(message, key.key))
        departed = self._images.get(left)
        if departed is None:
            self._images.put(key, Image(None, message.position, message.partition, held=dump([delivery])))
        else:
            self._images.remove(left)
            self._complete(delivery, key, departed)

    def _complete(self, delivery: Delivery, key: ImageKey, departed: Image) -> None:
        after = _image(filled(delivery, key, departed.row), delivery.message)
        self._images.put(key, after)
        if departed.row is None:
            self._change(Created, delivery, key, None, after)
        else:
            self._change(Rekeyed, delivery, key, departed, after)

    # ---------------------------------------------------------------- rows without a key

    def _apply_without_key(self, delivery: Delivery) -> None:
        message = delivery.message
        before = self._take_one(delivery) if message.op in "ud" else None
        after = self._add_one(delivery) if message.op in "cur" else None
        if before is None and after is not None:
            self._change(Created, delivery, _row_key(message, after), None, after, f"#{after.copies}")
        elif before is not None and after is not None:
            self._change(Updated, delivery, _row_key(message, before), before, after)
        elif before is not None:
            self._change(Deleted, delivery, _row_key(message, before), before, None)

    def _take_one(self, delivery: Delivery) -> Image | None:
        before = delivery.message.before
        if before is None or UNCHANGED in before.values():
            raise Refused(
                f"a row of {delivery.message.table} changed, and which one cannot be told",
                "the table has no key, and the message lacks the row as it was",
                f"ALTER TABLE {delivery.message.table} REPLICA IDENTITY FULL, or give it a primary key",
            )
        key = ImageKey(delivery.message.table, row_identity(before))
        image = self._images.get(key)
        if image is None:
            return None
        if image.copies == 1:
            self._images.remove(key)
        else:
            confirmed = max(confirmed_copies(image, image.seen) - 1, 0)
            self._images.put(key, replace(image, copies=image.copies - 1, confirmed=confirmed))
        return image

    def _add_one(self, delivery: Delivery) -> Image | None:
        """Count one more row; None for one that a snapshot merely confirms."""
        message = delivery.message
        fresh = _image(filled(delivery, ImageKey(message.table, ""), message.before), message)
        key = _row_key(message, fresh)
        image = self._images.get(key)
        if message.op == "r":
            confirmed = (0 if image is None else confirmed_copies(image, fresh.seen)) + 1
            known = 0 if image is None else image.copies
            after = replace(fresh, copies=max(known, confirmed), confirmed=confirmed)
            self._images.put(key, after)
            return after if confirmed > known else None
        if image is None:
            after = replace(fresh, confirmed=1)
        else:
            confirmed = confirmed_copies(image, image.seen) + 1
            after = replace(fresh, copies=image.copies + 1, seen=image.seen, confirmed=confirmed)
        self._images.put(key, after)
        return after

    # ---------------------------------------------------------------- whole tables

    def _truncate(self, delivery: Delivery) -> None:
        """A position of the table: what is older goes, what is newer stays, whatever partition it comes from."""
        message = delivery.message
        if message.position is not None:
            self.truncated[message.table] = message.position
            self.truncations.add(message.table)
        for key, image in self._images.of_table(message.table):
            if message.position is None or is_older(image.position, message.position):
                self.drop(key, image, image.copies, delivery)

    def drop(self, key: ImageKey, image: Image, copies: int, delivery: Delivery, why: str = "") -> None:
        """Take ``copies`` of a row away, for a reason that is not a change of its own."""
        if copies >= image.copies:
            self._images.remove(key)
        else:
            self._images.put(key, replace(image, copies=image.copies - copies))
        if image.row is not None and not key.moved_to:
            for n in range(copies):
                self._change(Deleted, delivery, key, image, None, f"{why}#{n}" if n else why)

    def _change(
        self, kind: Kind, delivery: Delivery, key: ImageKey, before: Image | None, after: Image | None, more: str = ""
    ) -> None:
        message = delivery.message
        where = delivery.place if message.position is None else ".".join(map(str, message.position))
        cause = f"{key.table}/{key.key}/{message.op}/{where}{more}"
        origin = Origin(
            message.table,
            tuple(n for n in message.position or () if n is not None),
            message.at,
            message.op == "r",
            message.transaction,
        )
        self.changes.append(RowChange(kind, key.table, key.key, before, after, origin, cause, delivery.place))


def filled(delivery: Delivery, key: ImageKey, known: Row | None) -> dict[str, Any]:
    """The row after a change, with what is unchanged taken from ``known``."""
    message = delivery.message
    if message.after is None:
        raise Refused(
            f"a change ({message.op}) of {key.table}:{key.key} has no row",
            "after is null, which only a delete may have",
            "look at the message, and at the transformations of the connector",
        )
    row = dict(message.after)
    for name, value in row.items():
        if value is UNCHANGED:
            if known is None or known.get(name, UNCHANGED) is UNCHANGED:
                raise IncompleteRow(
                    f"{name} of {key.table}:{key.key} is not known",
                    "Debezium sends no value for a large one that is unchanged, and none was seen before",
                    f"signal an incremental snapshot of {key.table}, or set its REPLICA IDENTITY to FULL",
                )
            row[name] = known[name]
    return row


def is_older(position: SourcePosition | None, than: SourcePosition | None) -> bool:
    """Whether both are known and the first stands before the second."""
    if position is None or than is None:
        return False
    return (*position[:2], position.order or 0) < (*than[:2], than.order or 0)


def image_keys(messages: Sequence[RowMessage]) -> list[ImageKey]:
    """The images that applying ``messages`` will look at, to be read at once."""
    keys: list[ImageKey] = []
    for message in messages:
        if message.key is not None:
            keys.append(ImageKey(message.table, key_text(message.key)))
            if message.new_key is not None:
                keys.append(ImageKey(message.table, key_text(message.new_key)))
            if message.old_key is not None:
                way = _way(message, keys[-1].key)
                keys.append(ImageKey(message.table, _comes_from(message), way))
        else:
            keys += [ImageKey(message.table, row_identity(r)) for r in (message.before, message.after) if r is not None]
    return keys


def _image(row: dict[str, Any], message: RowMessage, former: Image | None = None) -> Image:
    seen = None if former is None else former.seen
    if message.op == "r" and message.position is not None:
        seen = message.position.lsn
    return Image(row, message.position, message.partition, seen=seen)


def _row_key(message: RowMessage, image: Image) -> ImageKey:
    assert image.row is not None
    return ImageKey(message.table, row_identity(image.row))


def confirmed_copies(image: Image, seen: int | None) -> int:
    """How many of the copies of a row without a key the snapshot ``seen`` has read, or came after it."""
    return image.confirmed if image.seen == seen else 0


def _comes_from(message: RowMessage) -> str:
    return "" if message.old_key is None else key_text(message.old_key)


def _way(message: RowMessage, to: str) -> str:
    """Names a move: both halves of a primary-key change have the same key to go to and the same position."""
    return f"{to}@{'' if message.position is None else '.'.join(map(str, message.position[:2]))}"
