"""``python -m benchmarks``: measure everything, show it, and write ``benchmarks/results.json``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contender import Contender, Database
from benchmarks.measures import FULL, MEASURES, QUICK, Measure, Size
from benchmarks.ours import Ours
from benchmarks.peer import Peer
from benchmarks.raw_databases import raw
from benchmarks.results import CONTENDERS, Result, machine, result, show, write
from benchmarks.servers import Cluster, postgres_binaries

RESULTS = Path(__file__).with_name("results.json")
MAKE: dict[str, Callable[[Database], Contender]] = {"ours": Ours, "peer": Peer, "raw": raw}
NewDatabase = Callable[[], Database]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measures that ``arguments`` choose; the exit code."""
    options = _options(arguments)
    size, output = (QUICK, options.output) if options.quick else (FULL, options.output or RESULTS)
    chosen = [measure for measure in MEASURES if any(options.only in name for name in measure.names)]
    console = Console(width=None if sys.stdout.isatty() else 160)
    with _databases(console) as databases, _progress(console) as progress:
        task = progress.add_task("", total=len(databases) * len(chosen) * size.rounds)
        results: list[Result] = []
        for kind, new_database in databases.items():
            for measure in chosen:
                progress.update(task, description=f"{kind}: {measure.names[0]}")
                results += compare(measure, size, kind, new_database, lambda: progress.advance(task))
        postgresql = _postgres_version(databases.get("postgresql"))
    show(console, results)
    if output is not None:
        write(output, results, machine(postgresql))
        console.print(f"written to {output}")
    return 0


def compare(
    measure: Measure, size: Size, kind: str, new_database: NewDatabase, after_round: Callable[[], object]
) -> list[Result]:
    """Let the contenders take turns, each beginning a round once, every one on a database of its own."""
    values: dict[str, list[Sequence[float]]] = {name: [] for name in CONTENDERS}
    with ExitStack() as closing:
        runs = {}
        for name in CONTENDERS:
            contender = MAKE[name](new_database())
            closing.callback(contender.close)
            runs[name] = measure.prepare(contender, size)
        for round_ in range(size.rounds):
            first = round_ % len(CONTENDERS)
            for name in CONTENDERS[first:] + CONTENDERS[:first]:
                values[name].append(runs[name]())
            after_round()
    return [
        result(
            kind,
            name,
            measure.unit,
            {contender: [value[n] for value in found] for contender, found in values.items()},
            more_is_better=measure.more_is_better,
        )
        for n, name in enumerate(measure.names)
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds; its numbers mean little")
    parser.add_argument("--only", default="", metavar="TEXT", help="only measures whose name contains TEXT")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"default: {RESULTS.name} beside the code")
    return parser.parse_args(arguments)


@contextmanager
def _databases(console: Console) -> Iterator[dict[str, NewDatabase]]:
    """What makes a fresh database, for each kind there is."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
    numbers = count(1)
    kinds: dict[str, NewDatabase] = {
        "sqlite": lambda: Database("sqlite", f"sqlite:///{folder / f'{next(numbers)}.db'}")
    }
    cluster = None
    try:
        if binaries := postgres_binaries():
            started = cluster = Cluster(binaries)
            started.start()
            kinds["postgresql"] = lambda: Database("postgresql", started.url(started.new_database()))
        else:
            console.print("PostgreSQL is not installed: SQLite only")
        yield kinds
    finally:
        if cluster is not None:
            cluster.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_version(new_database: NewDatabase | None) -> str | None:
    if new_database is None:
        return None
    import psycopg

    with psycopg.connect(new_database().url) as connection:
        return str(connection.info.parameter_status("server_version"))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


if __name__ == "__main__":
    sys.exit(main())
