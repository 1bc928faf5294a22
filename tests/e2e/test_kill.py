"""``kill -9`` anywhere: what was acknowledged is there, and read models end as in an undisturbed run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from eventstore.sql.engine import connect

CHILD = Path(__file__).parent / "kill_child.py"
PHASES = ("append", "batch", "rebuild", "retry")
SEED = 20261124


def run(url: str, phase: str = "-", statement: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, CHILD, url, phase, str(statement)]
    # On PostgreSQL the next run waits until the lease of the one that was killed ends.
    environment = {**os.environ, "HEADWATER_LEASE_SECONDS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Everything that counts: the log by stream, and both read models."""
    queries = {
        "log": "SELECT stream, version, data FROM {hw}hw_event ORDER BY stream, version",
        "total": "SELECT sum_id, total, history FROM total ORDER BY sum_id",
        "picky": "SELECT sum_id, history FROM picky ORDER BY sum_id",
    }
    engine = connect(url)
    prefix = "" if engine.dialect.name == "sqlite" else "headwater."
    try:
        with engine.connect() as connection:
            return {
                name: [tuple(r) for r in connection.execute(text(q.format(hw=prefix)))] for name, q in queries.items()
            }
    finally:
        engine.dispose()


def acknowledged(output: str) -> list[int]:
    return [int(line.split()[1]) for line in output.splitlines() if line.startswith("ack ")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[tuple[object, ...]]], dict[str, int]]:
    """The rows of a run that nobody disturbs, and how many statements each phase sends."""
    url = f"sqlite:///{tmp_path_factory.mktemp('kill') / 'undisturbed.db'}"
    done = run(url)
    assert done.returncode == 0, done.stderr
    (sent,) = [line for line in done.stdout.splitlines() if line.startswith("sent ")]
    counts = dict(word.split("=") for word in sent.split()[1:])
    return rows(url), {phase: int(counts[phase]) for phase in PHASES}


def check(url: str, expected: dict[str, list[tuple[object, ...]]], phase: str, statement: int) -> None:
    killed = run(url, phase, statement)
    assert killed.returncode == -9, killed.stderr
    engine = connect(url)
    prefix = "" if engine.dialect.name == "sqlite" else "headwater."
    with engine.connect() as connection:
        stored = {row[0] for row in connection.execute(text(f"SELECT data FROM {prefix}hw_event"))}
    engine.dispose()
    assert {f'{{"by":{number}}}' for number in acknowledged(killed.stdout)} <= stored
    again = run(url)
    assert again.returncode == 0, again.stderr
    assert rows(url) == expected


@pytest.mark.parametrize("point", range(20))
def test_read_models_survive_a_kill_on_sqlite(
    point: int, tmp_path: Path, undisturbed: tuple[dict[str, list[tuple[object, ...]]], dict[str, int]]
) -> None:
    expected, counts = undisturbed
    phase = PHASES[point % len(PHASES)]
    statement = random.Random(SEED + point).randint(1, counts[phase])
    check(f"sqlite:///{tmp_path / 'killed.db'}", expected, phase, statement)


@pytest.mark.parametrize("point", range(4))
def test_read_models_survive_a_kill_on_postgresql(
    point: int, postgres_url: str, undisturbed: tuple[dict[str, list[tuple[object, ...]]], dict[str, int]]
) -> None:
    statement = random.Random(SEED + point).randint(2, 12)
    check(postgres_url, undisturbed[0], PHASES[point], statement)
