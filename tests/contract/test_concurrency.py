"""Many writers at once, in threads and in processes, under the eyes of a reader that polls."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from eventstore.model.log import EventLog
from eventstore.model.record import Record
from tests.contract.writing import append_many

STREAMS = 6


class Reader(threading.Thread):
    """Polls from the last offset it saw; ``finish`` lets it read what is left, and returns all records."""

    def __init__(self, log: EventLog) -> None:
        super().__init__()
        self._source = log.source(["account"])
        self._position = dict.fromkeys(self._source.partitions(), 0)
        self._done = threading.Event()
        self._records: list[Record] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                last = self._done.is_set()
                records = self._source.read(self._position, 500)
                for record in records:
                    place = (record.topic, record.partition)
                    assert record.offset == self._position[place], "an offset was skipped"
                    self._position[place] = record.offset + 1
                self._records += records
                if last and not records:
                    return
                if not records:
                    self._source.wait(self._position, 0.01)
        except BaseException as error:
            self._error = error

    def finish(self) -> list[Record]:
        self._done.set()
        self.join(30)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error
        return self._records


def check(log: EventLog, seen: list[Record], acknowledged: int) -> None:
    """No fork, nothing lost, versions and offsets dense, and the reader missed nothing."""
    keys = [record.key for record in seen]
    assert len(keys) == len(set(keys)) == acknowledged
    assert sum(log.source(["account"]).ends().values()) == acknowledged
    for n in range(STREAMS):
        stream = f"account-{n}"
        read = [int(r.headers["ce_sequence"]) for r in seen if r.headers["ce_subject"] == stream]
        assert read == list(range(1, len(read) + 1))


def test_eight_writers_of_a_thousand_appends_lose_and_fork_nothing(log: EventLog) -> None:
    reader = Reader(log)
    reader.start()
    at: dict[str, int] = {}
    with ThreadPoolExecutor(8) as writers:
        done = list(writers.map(lambda n: append_many(log, f"writer{n}", 1000, STREAMS, at), range(8)))
    seen = reader.finish()
    acknowledged = {(a.stream, a.first) for appended in done for a in appended}
    assert len(acknowledged) == 8000, "two acknowledgements for one version"
    check(log, seen, 8000)


def test_writers_in_several_processes_lose_and_fork_nothing(
    log: EventLog, start_writer: Callable[..., subprocess.Popen[str]]
) -> None:
    reader = Reader(log)
    reader.start()
    processes = [start_writer(f"process{n}", "300", str(STREAMS)) for n in range(3)]
    mine = append_many(log, "mine", 300, STREAMS)
    counts = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    check(log, reader.finish(), len(mine) + sum(counts))
