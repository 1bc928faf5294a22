"""A capture file as a source: every line once, in order, in bounded memory, and its damage said aloud."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc import lines
from cdc.capture import CaptureSource
from cdc.decode import Decoder
from cdc.inspection import inspect
from cdc.message import RowMessage
from eventstore.errors import NotFound, PipelineError, PositionOutsideLog, Unavailable
from eventstore.model.log import Source
from eventstore.model.record import Record

DATA = Path(__file__).parents[1] / "data"
HISTORY = DATA / "history" / "json-noschema.jsonl.gz"


def entry(number: int = 0, **changed: Any) -> dict[str, Any]:
    return {"topic": "shop.public.t", "headers": [], "key": f'{{"id":{number}}}', "value": "null", **changed}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write lines (objects, or bytes as they are) to a file, compressed if its name ends in .gz."""

    def write(*content: Any, name: str = "a.jsonl") -> Path:
        data = b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in content)
        path = tmp_path / name
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    return write


def everything(source: CaptureSource, limit: int = 7, start: int = 0) -> list[Record]:
    found: list[Record] = []
    while records := source.read({(source.topic, 0): start + len(found)}, limit):
        found += records
    return found


def only(path: Path) -> Record:
    with CaptureSource(path) as source:
        (record,) = everything(source)
    return record


def test_it_is_a_source() -> None:
    with CaptureSource(HISTORY) as capture:
        source: Source = capture
        assert source.partitions() == [(capture.topic, 0)]
        assert source.ends() == {(capture.topic, 0): 5489}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "compressed-without-saying-so"])
def test_lines_come_in_order_with_dense_offsets(write: Callable[..., Path], name: str) -> None:
    path = write(*(entry(n) for n in range(20)), name=name)
    if "without" in name:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with CaptureSource(path) as source:
        records = everything(source)
    assert [record.offset for record in records] == list(range(20))
    assert [record.key for record in records] == [b'{"id":%d}' % n for n in range(20)]
    assert {(record.topic, record.partition) for record in records} == {(source.topic, 0)}


def test_a_record_has_the_messages_bytes_headers_and_time(write: Callable[..., Path]) -> None:
    line = entry(
        topic="shop.public.t",
        partition=2,
        offset=77,
        timestamp=1767225600123,
        headers=[{"key": "a", "value": "x"}, {"key": "n", "value": 5}],
        value='{"é":1}',
    )
    record = only(write(line))
    assert record.value == '{"é":1}'.encode()
    assert record.timestamp == datetime(2026, 1, 1, 0, 0, 0, 123000, UTC)
    assert record.headers == {
        **{"a": "x", "n": "5"},
        **{"capture.topic": "shop.public.t", "capture.partition": "2", "capture.offset": "77"},
    }


def test_null_keys_and_values_stay_null(write: Callable[..., Path]) -> None:
    record = only(write(entry(key=None, value=None)))
    assert (record.key, record.value) == (None, None)


def test_bytes_may_be_base64(write: Callable[..., Path]) -> None:
    record = only(write({"topic": "t", "key_b64": "AAE=", "value_b64": None}))
    assert (record.key, record.value) == (b"\x00\x01", None)


def test_the_key_in_a_header_is_taken_as_json(write: Callable[..., Path]) -> None:
    header = {"key": "__debezium.newkey", "value": "Struct{id=5}", "value_jsonconv": '{"id":5}'}
    other = {"key": "a", "value": "x", "value_jsonconv": '"x"'}
    headers = only(write(entry(headers=[header, other]))).headers
    assert (headers["__debezium.newkey"], headers["a"]) == ('{"id":5}', "x")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage\n", "line 1: "),
        (b"[1]\n", "not an object"),
        (b'{"topic":"t"\n', "line 1: "),
        (b"\xff\xfe\n", "line 1: "),
        (b'{"a":' * 100_000 + b"\n", "depth"),
        (entry(topic=None), "topic"),
        (entry(key=5), "key is text"),
        (entry(value={"op": "c"}), "value is text"),
        ({"topic": "t", "key": None}, "no value"),
        ({"topic": "t", "key": None, "value_b64": "!"}, "line 1: "),
        (entry(headers=[5]), "header"),
        (entry(headers=5), "headers of the line are a JSON int"),
        (entry(headers={"a": "b"}), "headers of the line are a JSON dict"),
        (entry(headers=[{"key": 5}]), "header"),
        (entry(partition="1"), "partition"),
        (entry(timestamp="now"), "timestamp"),
        (entry(timestamp=2**62), "timestamp"),
    ],
)
def test_a_line_that_is_no_message_is_a_record_that_says_why(
    write: Callable[..., Path], line: Any, reason: str
) -> None:
    path = write(line, entry(2))
    with CaptureSource(path) as source:
        broken, good = everything(source)
    assert reason in broken.headers["capture.unparsable"]
    assert broken.value == path.read_bytes().split(b"\n")[0]
    assert (good.offset, good.key) == (1, b'{"id":2}')


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_line_beyond_the_bound_is_cut_and_passed_over(write: Callable[..., Path], name: str) -> None:
    path = write(entry(1), b"x" * 3_000_000 + b"\n", entry(3), name=name)
    with CaptureSource(path, max_line_bytes=1_000_000) as source:
        first, cut, last = everything(source)
        assert source.ends() == {(source.topic, 0): 3}
    assert "longer than 1,000,000 bytes" in cut.headers["capture.unparsable"]
    assert cut.value is not None
    assert len(cut.value) < 100_000
    assert (first.key, last.key) == (b'{"id":1}', b'{"id":3}')


def test_empty_lines_do_not_count(write: Callable[..., Path]) -> None:
    path = write(b"\n", entry(1), b"  \r\n\n", b"broken\n", b"\n\n")
    with CaptureSource(path) as source:
        good, broken = everything(source)
        assert source.ends() == {(source.topic, 0): 2}
    assert (good.offset, broken.offset) == (0, 1)
    assert "line 5" in broken.headers["capture.unparsable"]


def test_a_last_line_needs_no_end(write: Callable[..., Path]) -> None:
    path = write(entry(1), orjson.dumps(entry(2)))
    with CaptureSource(path) as source:
        assert [record.key for record in everything(source)] == [b'{"id":1}', b'{"id":2}']
        assert source.ends() == {(source.topic, 0): 2}


def test_an_empty_file_has_nothing(write: Callable[..., Path]) -> None:
    with CaptureSource(write()) as source:
        assert everything(source) == []
        assert source.ends() == {(source.topic, 0): 0}


@given(starts=st.lists(st.integers(0, 40), min_size=1, max_size=6), limit=st.integers(1, 15))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_reading_may_begin_anywhere_again_and_again(
    tmp_path: Path, write: Callable[..., Path], starts: list[int], limit: int
) -> None:
    path = write(*(entry(n) for n in range(40)), name="b.jsonl.gz")
    with CaptureSource(path) as source:
        for start in starts:
            records = source.read({(source.topic, 0): start}, limit)
            assert [record.offset for record in records] == list(range(start, min(40, start + limit)))


def test_going_on_does_not_read_from_the_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0
    original = lines.LineReader._open

    def counting(reader: lines.LineReader) -> Any:
        nonlocal opened
        opened += 1
        return original(reader)

    monkeypatch.setattr(lines.LineReader, "_open", counting)
    with CaptureSource(HISTORY) as source:
        opened = 0
        assert len(everything(source, 100)) == 5489
        assert opened == 1
        source.read({(source.topic, 0): 10}, 1)
        assert opened == 2


def test_a_batch_is_bounded_in_bytes(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc.capture.BATCH_BYTES", 1_000)
    path = write(*(entry(n, value="x" * 600) for n in range(5)))
    with CaptureSource(path) as source:
        assert len(source.read({(source.topic, 0): 0}, 100)) == 2
        assert len(everything(source, 100)) == 5


def test_a_position_past_the_end_is_refused(write: Callable[..., Path]) -> None:
    path = write(entry(1))
    with CaptureSource(path) as source:
        assert source.read({(source.topic, 0): 1}, 10) == []
        with pytest.raises(PositionOutsideLog, match="past its end, which is 1"):
            source.read({(source.topic, 0): 2}, 10)


def test_other_topics_are_not_its_own(write: Callable[..., Path]) -> None:
    with CaptureSource(write(entry(1))) as source:
        assert source.read({("another", 0): 0}, 10) == []
        assert source.read({}, 10) == []


def test_the_name_tells_files_apart_and_stays(write: Callable[..., Path], tmp_path: Path) -> None:
    first = CaptureSource(write(entry(1), name="a.jsonl")).topic
    again = CaptureSource(tmp_path / "a.jsonl").topic
    grown = CaptureSource(write(entry(1), entry(2), name="a.jsonl")).topic
    other = CaptureSource(write(entry(3), name="a.jsonl")).topic
    assert first.startswith("capture:a.jsonl:")
    assert first == again == grown
    assert other != first


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file .*gone\.jsonl"):
        CaptureSource(tmp_path / "gone.jsonl")


def test_a_pipe_is_refused_before_it_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(Unavailable, match="captures are read more than once"):
        CaptureSource(tmp_path / "pipe.jsonl")


def test_a_folder_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        CaptureSource(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"topic":"t"}\n'])
def test_a_file_that_only_says_it_is_compressed_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match="not compressed by gzip"):
        CaptureSource(path)


def cut_in_half(tmp_path: Path) -> Path:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(HISTORY.read_bytes()[:150_000])
    return path


def test_what_comes_before_a_cut_is_read_and_the_cut_is_said(tmp_path: Path) -> None:
    with CaptureSource(cut_in_half(tmp_path)) as source:
        (end,) = source.ends().values()
        records = [
            record for start in range(0, end - 1, 500) for record in source.read({(source.topic, 0): start}, 500)
        ]
        assert len(records) == end - 1 > 1_000
        with pytest.raises(PipelineError, match="breaks off in line") as caught:
            source.read({(source.topic, 0): len(records)}, 500)
        assert f"line {end}" in caught.value.what
        with pytest.raises(PipelineError):  # and again: it never looks like the end
            source.read({(source.topic, 0): len(records)}, 500)
    with CaptureSource(HISTORY) as whole:
        expected = whole.read({(whole.topic, 0): 0}, len(records))
    assert [record.value for record in records] == [record.value for record in expected]


def test_a_damaged_file_is_said_to_be(tmp_path: Path) -> None:
    data = bytearray(HISTORY.read_bytes())
    data[-6] ^= 0xFF  # its checksum
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(data)
    with CaptureSource(path) as source, pytest.raises(PipelineError, match="damaged"):
        everything(source, 1_000)


def test_waiting_returns_at_once_when_there_is_something(write: Callable[..., Path]) -> None:
    with CaptureSource(write(entry(1))) as source:
        started = time.monotonic()
        source.wait({(source.topic, 0): 0}, 30)
        assert time.monotonic() - started < 5
        source.close()
        source.wait({(source.topic, 0): 1}, 30)
        assert time.monotonic() - started < 5


def test_every_message_of_the_history_is_decoded() -> None:
    decoder = Decoder()
    with CaptureSource(HISTORY) as source:
        messages = [decoder.decode(record) for record in everything(source, 1_000)]
    assert sum(isinstance(message, RowMessage) for message in messages) == 120 + 1538 + 1247 + 348


# ---------------------------------------------------------------- what is in a capture


def test_an_inspection_counts_table_by_table() -> None:
    found = inspect(HISTORY)
    assert (found.records, found.faulty, found.broken) == (5489, 0, None)
    assert found.sides == {"transaction": 1816, "message": 72, "tombstone": 348}
    acct = found.tables["inv.acct"]
    assert acct.ops == {"r": 60, "u": 713, "d": 261, "c": 437}
    assert (acct.tombstones, acct.topics, acct.key) == (261, ["srv1.inv.acct"], ["id"])
    assert acct.names == ["id", "owner", "balance", "status", "ver", "updated"]
    assert (acct.columns, acct.versions) == (None, 1)
    assert acct.first is not None
    assert acct.last is not None
    assert acct.first < acct.last


def test_an_inspection_has_the_types_of_columns_and_the_shapes_of_a_table() -> None:
    found = inspect(DATA / "base" / "json-schema.jsonl.gz")
    evolve = found.tables["inv.evolve"]
    assert [column.name for column in evolve.columns or ()] == ["id", "a_new", "c"]
    assert evolve.versions == 7


def test_an_inspection_names_what_cannot_be_decoded(write: Callable[..., Path]) -> None:
    found = inspect(write(entry(1), b"broken\n", entry(value='{"a":1}')))
    assert found.faulty == 2
    assert [(fault.record, fault.topic) for fault in found.faults] == [(2, ""), (3, "shop.public.t")]
    assert "line 2" in found.faults[0].why
    assert "flattened" in found.faults[1].why


def test_an_inspection_says_where_a_file_breaks_off(tmp_path: Path) -> None:
    found = inspect(cut_in_half(tmp_path))
    assert found.broken is not None
    assert f"line {found.records + 1}" in found.broken
