"""The benchmarks run from end to end, and judge what they measure by their aims."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measures import MEASURES
from benchmarks.results import AIMS, Result, result
from benchmarks.servers import postgres_binaries

ROOT = Path(__file__).resolve().parent.parent


def test_a_quick_run_measures_everything_on_every_database(tmp_path: Path) -> None:
    written = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(written)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(written.read_text())
    databases = ["sqlite", "postgresql"] if postgres_binaries() else ["sqlite"]
    names = [f"{database}: {name}" for database in databases for measure in MEASURES for name in measure.names]
    assert [each["name"] for each in results] == names
    assert all(each[who] > 0 for each in results for who in ("ours", "peer", "raw")), results
    assert "aims met" in run.stdout


def test_every_aim_is_of_a_result_that_there_is() -> None:
    names = {name for measure in MEASURES for name in measure.names}
    assert {name for _, name in AIMS} <= names


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    values = {"ours": [10.0, 200.0, 30.0], "peer": [10.0, 100.0, 10.0], "raw": [10.0, 100.0, 10.0]}
    assert result("sqlite", "saves", "events/s", values, more_is_better=True).ratio_peer == 2


def test_where_less_is_better_half_the_time_is_twice_as_good() -> None:
    values = {"ours": [5.0], "peer": [10.0], "raw": [1.0]}
    found = result("sqlite", "loads", "ms", values, more_is_better=False)
    assert (found.ratio_peer, found.ratio_raw) == (2, 0.2)


@pytest.mark.parametrize(
    ("ours", "peer", "raw", "met"), [(130.0, 100.0, 200.0, True), (129.0, 100.0, 200.0, False), (300, 100, 600, False)]
)
def test_an_aim_is_met_only_in_all_its_parts(ours: float, peer: float, raw: float, met: bool) -> None:
    values = {"ours": [ours], "peer": [peer], "raw": [raw]}
    name = "one event a save, 1 thread"
    found: Result = result("sqlite", name, "events/s", values, more_is_better=True)
    assert found.met is met


def test_a_result_without_an_aim_is_neither_met_nor_missed() -> None:
    values = {"ours": [1.0], "peer": [2.0], "raw": [3.0]}
    assert result("sqlite", "save to visible, p99", "ms", values, more_is_better=False).met is None
