"""What is measured, and how: each measure is one function of a contender, the same for all."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.contender import EVENTS_OF_AN_ORDER, Contender

SAMPLES = 20
"""The least number of samples that a median and a 99th percentile are taken of."""
BLOCK = 100
"""Orders whose events are stored in turns."""


class Size(NamedTuple):
    """How much is done: rounds, seconds of each measure in a round, events that are rebuilt from."""

    rounds: int
    seconds: float
    events: int


FULL = Size(rounds=5, seconds=0.7, events=20_000)
QUICK = Size(rounds=1, seconds=0.08, events=1_000)


@dataclass(frozen=True)
class Measure:
    """``prepare`` once, then ``run`` in every round: it returns a value for each of ``names``, in ``unit``."""

    names: tuple[str, ...]
    unit: str
    prepare: Callable[[Contender, Size], Callable[[], Sequence[float]]]

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")


def _saving(threads: int) -> Callable[[Contender, Size], Callable[[], Sequence[float]]]:
    def prepare(contender: Contender, size: Size) -> Callable[[], Sequence[float]]:
        savers = [contender.saver(order) for order in range(1, threads + 1)]
        return lambda: [_saves_a_second(savers, size.seconds)]

    return prepare


def _saves_a_second(savers: Sequence[Callable[[], object]], seconds: float) -> float:
    """Events/s that these threads store together, each one event after the other."""
    counts = [0] * len(savers)
    start = threading.Barrier(len(savers) + 1)
    failures: list[BaseException] = []

    def save(n: int) -> None:
        start.wait()
        end = time.perf_counter() + seconds
        try:
            while time.perf_counter() < end:
                savers[n]()
                counts[n] += 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=save, args=[n]) for n in range(len(savers))]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(counts) / (time.perf_counter() - began)


def _loading(events: int) -> Callable[[Contender, Size], Callable[[], Sequence[float]]]:
    def prepare(contender: Contender, size: Size) -> Callable[[], Sequence[float]]:
        contender.fill(1, 1, events)

        def run() -> Sequence[float]:
            began, loads = time.perf_counter(), 0
            while loads < 2 or time.perf_counter() < began + size.seconds:
                lines, loads = contender.load(1), loads + 1
                assert lines == events - 1
            return [(time.perf_counter() - began) / loads * 1000]

        return run

    return prepare


def _rebuilding(contender: Contender, size: Size) -> Callable[[], Sequence[float]]:
    orders = size.events // EVENTS_OF_AN_ORDER
    for first in range(1, orders + 1, BLOCK):
        contender.fill(first, min(BLOCK, orders + 1 - first), EVENTS_OF_AN_ORDER)
    return lambda: [contender.rebuild(size.seconds)]


def _living(contender: Contender, size: Size) -> Callable[[], Sequence[float]]:
    def run() -> Sequence[float]:
        stopping = threading.Event()
        contender.append_group()

        def feed() -> None:
            while not stopping.is_set():
                contender.append_group()

        feeder = threading.Thread(target=feed)
        with contender.running():
            before = _progress_after(contender, contender.projected())
            feeder.start()
            began = time.perf_counter()
            time.sleep(size.seconds)
            done = _progress_after(contender, before) - before
            elapsed = time.perf_counter() - began
            stopping.set()
            feeder.join()
        return [done / elapsed]

    return run


def _progress_after(contender: Contender, before: int) -> int:
    """How many events are folded, once that is more than ``before``."""
    while (now := contender.projected()) <= before:
        time.sleep(0.001)
    return now


def _seeing(contender: Contender, size: Size) -> Callable[[], Sequence[float]]:
    def run() -> Sequence[float]:
        samples: list[float] = []
        with contender.running():
            contender.save_and_see()
            began = time.perf_counter()
            while len(samples) < SAMPLES or time.perf_counter() < began + size.seconds:
                before = time.perf_counter()
                contender.save_and_see()
                samples.append((time.perf_counter() - before) * 1000)
        cuts = statistics.quantiles(samples, n=100)
        return [cuts[49], cuts[98]]

    return run


MEASURES = (
    Measure(("one event a save, 1 thread",), "events/s", _saving(1)),
    Measure(("one event a save, 64 threads",), "events/s", _saving(64)),
    Measure(("load an aggregate of 100 events",), "ms", _loading(100)),
    Measure(("load an aggregate of 1,000 events",), "ms", _loading(1000)),
    Measure(("projection, rebuild",), "events/s", _rebuilding),
    Measure(("projection, live",), "events/s", _living),
    Measure(("save to visible, p50", "save to visible, p99"), "ms", _seeing),
)
