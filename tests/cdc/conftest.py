"""What the tests of an ingest share: captures as records, a source made of a list, and a bench to run one on."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from cdc import schema
from cdc.handler import IngestHandler
from cdc.ingest import Ingest
from cdc.mirror_shape import load_shape
from eventstore.model.codec import decode
from eventstore.model.message import Event
from eventstore.model.record import Position, Record, TopicPartition
from eventstore.pipeline import DeadLetter, DeadLetters, Options, Pipeline, catch_up
from eventstore.sql.engine import connect, reading, writing
from eventstore.sql.log import SqlEventLog
from eventstore.sql.schema import metadata

ROOT = Path(__file__).parents[2]
TOPIC = "capture:test"


class ListSource:
    """A source of records that are given beforehand; more may be added."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)

    def partitions(self) -> Sequence[TopicPartition]:
        return [(TOPIC, 0)]

    def ends(self) -> Position:
        return {(TOPIC, 0): len(self.records)}

    def read(self, position: Position, limit: int) -> list[Record]:
        start = position[TOPIC, 0]
        return self.records[start : start + limit]

    def wait(self, position: Position, timeout: float) -> None:
        return


def as_records(messages: Iterable[dict[str, Any]]) -> list[Record]:
    """Lines of a capture file as its source gives them, numbered anew."""
    return [_record(offset, message) for offset, message in enumerate(messages)]


def _record(offset: int, message: dict[str, Any]) -> Record:
    key, value = message.get("key"), message.get("value")
    headers = {h["key"]: h["value"] for h in message.get("headers") or () if "context" not in h["key"]}
    headers |= {"capture.topic": message["topic"], "capture.partition": str(message.get("partition", 0))}
    headers["capture.offset"] = str(message.get("offset", offset))
    return Record(
        TOPIC, 0, offset, None if key is None else key.encode(), None if value is None else value.encode(), headers
    )


def read_capture(path: str) -> list[dict[str, Any]]:
    with gzip.open(ROOT / path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


CELL = re.compile(r'("(?:[^"]|"")*"|[^,\n"]*)([,\n])')


def read_csv(path: str) -> list[dict[str, str | None]]:
    """A table as PostgreSQL's COPY wrote it: an empty cell is NULL, an empty text is quoted."""
    rows: list[list[str | None]] = [[]]
    for cell, end in CELL.findall((ROOT / path).read_text(encoding="utf-8")):
        quoted = cell.startswith('"')
        rows[-1].append(cell[1:-1].replace('""', '"') if quoted else cell or None)
        if end == "\n":
            rows.append([])
    header, *lines = rows[:-1]
    return [{str(name): cell for name, cell in zip(header, line, strict=True)} for line in lines]


def as_text(value: Any) -> str | None:
    """A value as PostgreSQL writes it in CSV."""
    if isinstance(value, datetime):
        text = value.isoformat(" ").removesuffix("+00:00")
        text = text.rstrip("0") if "." in text else text
        return text if value.tzinfo is None else f"{text}+00"
    if isinstance(value, list):
        return "{" + ",".join("NULL" if v is None else f'"{v}"' if set(v) & set('," ') else v for v in value) + "}"
    return None if value is None else str(value).removesuffix(".0") if type(value) is float else str(value)


@dataclass
class Bench:
    """Runs an ingest on records, and shows what became of them."""

    engine: Engine
    log: SqlEventLog
    ingest: Ingest
    source: ListSource = field(default_factory=lambda: ListSource([]))
    options: Options = field(default_factory=lambda: Options(parked_limit=10_000))

    def feed(self, messages: Iterable[dict[str, Any]], batch: int = 500) -> Bench:
        """Append ``messages`` to what there is to read, and read it all."""
        start = len(self.source.records)
        self.source.records += [_record(start + n, message) for n, message in enumerate(messages)]
        return self.run(batch)

    def run(self, batch: int = 500) -> Bench:
        """Read what there is to read with a handler of its own, as a worker that was just started does."""
        options = replace(self.options, batch=batch)
        handler = IngestHandler(self.ingest, self.log, self.source.ends)
        catch_up(self.engine, self.log.wakeup, [Pipeline(self.ingest.name, self.source, handler, options=options)])
        return self

    def mirror(self, name: str, *columns: str) -> list[dict[str, Any]]:
        """The rows of a mirror that was made here, with the values of their columns' types, in order.

        ``columns``: only these. psycopg cannot read every time that PostgreSQL can hold.
        """
        with reading(self.engine) as connection:
            found = connection.scalars(select(schema.mirror.c.columns).where(schema.mirror.c.name == name)).first()
            if found is None:
                return []
            table = load_shape(found).table(name)
            chosen = [column for column in table.columns if not columns or column.name in columns]
            names = [column.name for column in chosen]
            rows = [dict(zip(names, row, strict=True)) for row in connection.execute(select(*chosen))]
        return sorted(rows, key=repr)

    def events(self, category: str) -> list[Event]:
        source = self.log.source([category])
        position = dict.fromkeys(source.partitions(), 0)
        return [decode(record) for record in source.read(position, 1_000_000)]

    def of_stream(self, stream: str) -> list[Event]:
        return [decode(record) for record in self.log.read_stream(stream)]

    @property
    def letters(self) -> list[DeadLetter]:
        return DeadLetters(self.engine, self.log.wakeup).list(limit=None)

    def retry(self, **which: Any) -> Bench:
        DeadLetters(self.engine, self.log.wakeup).retry(**which)
        return self.run()


def change(
    op: str,
    row: dict[str, Any] | None = None,
    *,
    at: tuple[int, int] | tuple[int, int, int] | None,
    key: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    table: str = "public.item",
    partition: int = 0,
    ms: int = 1_000,
    snapshot: str = "false",
    **more: Any,
) -> dict[str, Any]:
    """A message as Debezium writes it without a schema, for a row whose key is its ``id``.

    ``at``: (last commit, lsn) or (last commit, lsn, total order). ``more``: newkey= and oldkey= of a re-key.
    """
    schema_name, _, name = table.rpartition(".")
    if key is None and (row or before):
        key = {"id": (row or before or {})["id"]}
    source: dict[str, Any] = {"connector": "postgresql", "schema": schema_name, "table": name, "ts_ms": ms}
    source["snapshot"] = snapshot
    transaction = None
    if at is not None:
        source["sequence"] = json.dumps([None if op == "r" else str(at[0]), str(at[1])])
        if len(at) == 3:
            transaction = {"id": f"7:{at[1]}", "total_order": at[2], "data_collection_order": 1}
    after, gone = (None, before or row) if op == "d" else (row, before)
    value = {"before": gone, "after": after, "source": source, "op": op, "transaction": transaction, "ts_ms": ms}
    headers = [{"key": f"__debezium.{name}", "value": json.dumps(other)} for name, other in more.items()]
    return {
        "topic": f"shop.{table}",
        "partition": partition,
        "headers": headers,
        "key": json.dumps(key) if key else None,
        "value": json.dumps(value),
    }


@pytest.fixture
def bench(engine: Engine) -> Iterator[Callable[..., Bench]]:
    """Makes a bench for an ingest, on a fresh database of each kind."""
    made: list[SqlEventLog] = []

    def make(ingest: Ingest, **options: Any) -> Bench:
        log = SqlEventLog(engine, "test")
        made.append(log)
        log.create_topics(dict.fromkeys(ingest.categories, 2))
        return Bench(engine, log, ingest, options=Options(parked_limit=10_000, **options))

    yield make
    for log in made:
        log.wakeup.close()


@pytest.fixture
def quick_bench(sqlite_url: str) -> Iterator[Callable[[Ingest], Bench]]:
    """Makes any number of benches, each on a SQLite file of its own."""
    made: list[Bench] = []

    def make(ingest: Ingest) -> Bench:
        engine = connect(sqlite_url.replace("test.db", f"{len(made)}.db"))
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        with writing(engine) as connection:
            metadata.create_all(connection)
        log = SqlEventLog(engine, "test")
        log.create_topics(dict.fromkeys(ingest.categories, 2))
        made.append(Bench(engine, log, ingest, options=Options(parked_limit=10_000)))
        return made[-1]

    yield make
    for bench in made:
        bench.log.wakeup.close()
        bench.engine.dispose()


@pytest.fixture
def bench_kit() -> Any:
    """The functions above, for tests to use: test files cannot import each other."""
    return sys.modules[__name__]
