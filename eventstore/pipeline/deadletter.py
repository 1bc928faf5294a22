"""Dead letters in SQL: what a pipeline could not handle, with all that an operator needs to judge it."""

from __future__ import annotations

import hashlib
import json
import re
import traceback as tracebacks
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select, update

from eventstore.errors import HeadwaterError
from eventstore.model.record import CAPTURE_OFFSET, CAPTURE_PARTITION, CAPTURE_TOPIC, Record, TopicPartition
from eventstore.pipeline.states import OPEN, LetterState, may_move
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite

_COLUMN = schema.dead_letter.c
_TRACEBACK_LENGTH = 20_000
_ERROR_LENGTH = 4_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be handled, or waits behind one.

    ``key`` is the blocking key that people see, ``keys`` all of them. ``record`` holds the bytes, headers
    and place as they were read; ``source`` says where the record came from first. ``fingerprint`` is the
    same for failures of the same kind. ``note`` says why it was closed.
    """

    id: int
    pipeline: str
    generation: int
    state: LetterState
    key: str
    keys: tuple[str, ...]
    record: Record
    source: str
    error_type: str
    error: str
    traceback: str
    fingerprint: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    closed_at: datetime | None
    note: str


class Waiting(NamedTuple):
    """What a pipeline keeps in memory of an open dead letter."""

    id: int
    state: LetterState
    keys: tuple[str, ...]
    partition: TopicPartition


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record became a dead letter; ``error`` None: it is blocked behind another."""

    record: Record
    keys: Sequence[str]
    error: BaseException | None
    attempts: int = 1

    @property
    def state(self) -> LetterState:
        return LetterState.BLOCKED if self.error is None else LetterState.PARKED


# ---------------------------------------------------------------- by the leaseholder, in its transactions


def waiting(connection: Connection, pipeline: str, generation: int) -> list[Waiting]:
    """The open dead letters in the order in which they came."""
    rows = connection.execute(
        select(_COLUMN.id, _COLUMN.state, _COLUMN["keys"], _COLUMN.topic, _COLUMN.partition)
        .where(_of(pipeline, generation), _COLUMN.state.in_(OPEN))
        .order_by(_COLUMN.id)
    )
    return [Waiting(id, LetterState(state), tuple(json.loads(keys)), (t, p)) for id, state, keys, t, p in rows]


def ready(letters: Iterable[Waiting]) -> int:
    """How many of the open ``letters`` are tried next: not parked, and behind none that is still open."""
    held: set[str] = set()
    count = 0
    for letter in letters:
        count += letter.state is not LetterState.PARKED and held.isdisjoint(letter.keys)
        held.update(letter.keys)
    return count


def add(connection: Connection, pipeline: str, generation: int, failures: Sequence[Failure]) -> None:
    """Store dead letters in the order of ``failures``."""
    now = datetime.now(UTC)
    rows = [_new_row(pipeline, generation, failure, now) for failure in failures]
    # One by one: their ids are the order in which they wait.
    for row in rows:
        connection.execute(insert(schema.dead_letter), row)


def move(connection: Connection, letter: DeadLetter | Waiting, to: LetterState, note: str = "", **values: Any) -> bool:
    """Move a dead letter, unless it is no longer as it was read. Moves outside the table are a bug."""
    if not may_move(letter.state, to):
        raise AssertionError(f"a dead letter cannot go from {letter.state} to {to}")
    if to not in OPEN:
        values |= {"closed_at": datetime.now(UTC), "note": clean(note)}
    moved = connection.execute(
        update(schema.dead_letter)
        .where(_COLUMN.id == letter.id, _COLUMN.state == letter.state)
        .values(state=to.value, **values)
    )
    return bool(moved.rowcount)


def park_again(connection: Connection, letter: DeadLetter, error: BaseException) -> bool:
    """It was tried again and failed again."""
    return move(
        connection,
        letter,
        LetterState.PARKED,
        attempts=letter.attempts + 1,
        last_failed_at=datetime.now(UTC),
        **_error_columns(error),
    )


def get(connection: Connection, id: int, *, lock: bool = False) -> DeadLetter | None:
    query = select(schema.dead_letter).where(_COLUMN.id == id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _letter(row)


def find(
    connection: Connection,
    *,
    pipeline: str | None,
    states: Iterable[LetterState],
    key: str | None,
    after: int,
    limit: int | None,
    lock: bool = False,
) -> list[DeadLetter]:
    """Dead letters by id. ``key`` finds those that have it among their keys. ``lock``: as they are, they stay."""
    query = select(schema.dead_letter).where(_COLUMN.state.in_([*states]), _COLUMN.id > after).order_by(_COLUMN.id)
    if pipeline is not None:
        query = query.where(_COLUMN.pipeline == pipeline)
    if key is not None:
        # Exact: in JSON each key is enclosed in quotes, and LIKE would not tell A from a on SQLite.
        place = func.instr if is_sqlite(connection) else func.strpos
        query = query.where(place(_COLUMN["keys"], json.dumps(key)) > 0)
    query = query.limit(limit)
    return [_letter(row) for row in connection.execute(query.with_for_update() if lock else query)]


def delete_all(connection: Connection, pipeline: str, generation: int) -> None:
    """Forget the dead letters of a generation: a rebuild meets their records again."""
    connection.execute(schema.dead_letter.delete().where(_of(pipeline, generation)))


# ---------------------------------------------------------------- rows


def _of(pipeline: str, generation: int) -> Any:
    return (_COLUMN.pipeline == pipeline) & (_COLUMN.generation == generation)


def _new_row(pipeline: str, generation: int, failure: Failure, now: datetime) -> dict[str, Any]:
    record, keys = failure.record, list(dict.fromkeys(failure.keys))
    return {
        "pipeline": pipeline,
        "generation": generation,
        "state": failure.state.value,
        "key": clean(keys[0]),
        "keys": json.dumps(keys),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "record_key": record.key,
        "record_value": record.value,
        "record_headers": json.dumps(dict(record.headers)),
        "record_at": record.timestamp,
        "source": clean(source_of(record)),
        "attempts": failure.attempts if failure.error else 0,
        "first_failed_at": now,
        "last_failed_at": now,
        "closed_at": None,
        "note": "",
        **_error_columns(failure.error),
    }


def _error_columns(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {"error_type": "", "error": "", "traceback": "", "fingerprint": ""}
    trace = "".join(tracebacks.format_exception(error))[-_TRACEBACK_LENGTH:]
    return {
        "error_type": type(error).__name__,
        "error": clean(said(error)[:_ERROR_LENGTH]),
        "traceback": clean(trace),
        "fingerprint": error_fingerprint(error),
    }


def said(error: BaseException) -> str:
    """What an error says of itself, which may fail too."""
    try:
        return str(error)
    except Exception as unsaid:
        return f"it cannot be printed: its __str__ raises {type(unsaid).__name__}"


def error_fingerprint(error: BaseException) -> str:
    """The same for failures of one kind: by type, place in the code, and what was said without its values."""
    frames = tracebacks.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].name}" if frames else ""
    what = error.what if isinstance(error, HeadwaterError) else said(error)
    kind = re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "…", what[:_ERROR_LENGTH])[:200]
    return hashlib.sha256(f"{type(error).__name__}|{place}|{kind}".encode(errors="replace")).hexdigest()[:12]


def source_of(record: Record) -> str:
    """Where a record came from first: ``topic[partition]@offset``, of Debezium's topic for a capture file."""
    get = record.headers.get
    topic = get(CAPTURE_TOPIC)
    if topic is None:
        return record.place
    return f"{topic}[{get(CAPTURE_PARTITION, '?')}]@{get(CAPTURE_OFFSET, '?')} (line {record.offset + 1})"


def clean(text: str) -> str:
    """``text`` as any database stores it: without NUL and halves of surrogate pairs."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _letter(row: Row[Any]) -> DeadLetter:
    found = row._mapping
    record = Record(
        found["topic"],
        found["partition"],
        found["offset"],
        found["record_key"],
        found["record_value"],
        json.loads(found["record_headers"]),
        found["record_at"],
    )
    return DeadLetter(
        found["id"],
        found["pipeline"],
        found["generation"],
        LetterState(found["state"]),
        found["key"],
        tuple(json.loads(found["keys"])),
        record,
        found["source"],
        found["error_type"],
        found["error"],
        found["traceback"],
        found["fingerprint"],
        found["attempts"],
        found["first_failed_at"],
        found["last_failed_at"],
        found["closed_at"],
        found["note"],
    )
