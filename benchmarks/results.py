"""Results: what each contender reached, the aims, and how both are shown and kept."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

CONTENDERS = ("ours", "peer", "raw")


class Aim(NamedTuple):
    """What ``ours`` should reach: times the peer, times the raw limit, and in the unit of the measure."""

    peer: float | None = None
    raw: float | None = None
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        said = [
            f"{self.peer:g} × peer" if self.peer else "",
            f"{self.raw:g} × raw" if self.raw else "",
            f"≥ {self.least:,.0f}" if self.least else "",
            f"≤ {self.most:g}" if self.most else "",
        ]
        return ", ".join(filter(None, said))


AIMS = {
    ("sqlite", "one event a save, 1 thread"): Aim(peer=1.3, raw=0.6),
    ("postgresql", "one event a save, 1 thread"): Aim(peer=1.3, raw=0.6),
    ("postgresql", "one event a save, 64 threads"): Aim(peer=15),
    ("sqlite", "load an aggregate of 100 events"): Aim(peer=3),
    ("postgresql", "load an aggregate of 100 events"): Aim(peer=3),
    ("sqlite", "load an aggregate of 1,000 events"): Aim(peer=3),
    ("postgresql", "load an aggregate of 1,000 events"): Aim(peer=3),
    ("sqlite", "projection, rebuild"): Aim(least=50_000),
    ("postgresql", "projection, rebuild"): Aim(peer=20),
    ("postgresql", "projection, live"): Aim(peer=20),
    ("sqlite", "save to visible, p50"): Aim(most=20),
    ("postgresql", "save to visible, p50"): Aim(most=20),
}


class Result(NamedTuple):
    """Medians over the rounds. A ratio is how many times better ``ours`` is: the median of those of each round."""

    database: str
    name: str
    unit: str
    ours: float
    peer: float
    raw: float
    ratio_peer: float
    ratio_raw: float
    rounds: int

    @property
    def aim(self) -> Aim | None:
        return AIMS.get((self.database, self.name))

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None: there is none."""
        aim = self.aim
        if aim is None:
            return None
        return (
            self.ratio_peer >= (aim.peer or 0)
            and self.ratio_raw >= (aim.raw or 0)
            and self.ours >= (aim.least or 0)
            and self.ours <= (aim.most or float("inf"))
        )


def result(
    database: str, name: str, unit: str, values: Mapping[str, Sequence[float]], *, more_is_better: bool
) -> Result:
    """``values``: of each contender those of the rounds, in their order."""

    def times_better(than: str) -> float:
        pairs = zip(values["ours"], values[than], strict=True)
        return statistics.median(a / b if more_is_better else b / a for a, b in pairs)

    ours, peer, raw = (statistics.median(values[contender]) for contender in CONTENDERS)
    return Result(database, name, unit, ours, peer, raw, times_better("peer"), times_better("raw"), len(values["ours"]))


def machine(postgresql: str | None) -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": postgresql,
        "eventsourcing": version("eventsourcing"),
        "headwater": version("headwater"),
    }


def write(path: Path, results: Sequence[Result], machine: Mapping[str, Any]) -> None:
    """One object a result, as JSON."""
    rows = [
        {
            "name": f"{each.database}: {each.name}",
            "unit": each.unit,
            **{name: float(f"{getattr(each, name):.4g}") for name in (*CONTENDERS, "ratio_peer", "ratio_raw")},
            "aim": str(each.aim) if each.aim else None,
            "met": each.met,
            "rounds": each.rounds,
            "machine": machine,
        }
        for each in results
    ]
    path.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2) + b"\n")


def show(console: Console, results: Sequence[Result]) -> None:
    """The table, and how many aims are met."""
    table = Table(title="headwater (ours), eventsourcing (peer), and the driver by hand (raw)", title_justify="left")
    table.add_column("measure")
    for heading in ("unit", "ours", "peer", "raw", "× peer", "× raw", "aim", ""):
        table.add_column(heading, justify="left" if heading in ("unit", "aim") else "right")
    before = results[0].database if results else ""
    for each in results:
        if each.database != before:
            table.add_section()
            before = each.database
        met = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[each.met]
        numbers = (_number(value) for value in (each.ours, each.peer, each.raw))
        ratios = (f"{value:.2f}" for value in (each.ratio_peer, each.ratio_raw))
        table.add_row(f"{each.database}: {each.name}", each.unit, *numbers, *ratios, str(each.aim or ""), met)
    console.print(table)
    aims = [each.met for each in results if each.met is not None]
    console.print(f"{sum(aims)} of {len(aims)} aims met; a ratio above 1 is in favour of headwater")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
