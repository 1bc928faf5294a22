"""The command line as a process: signals, pipes, narrow terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

DEPOSIT = '{"account_id": "a-1", "amount": 1}'
OPEN = ("execute", "OpenAccount", '{"account_id": "a-1", "owner": "Ada"}')


def environment(**more: str) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root, "COLUMNS": "", **more}


def headwater(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from headwater.cli.main import main; main()", *arguments]


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = headwater(*arguments)
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_in_order(sent: signal.Signals, project: Path, cli: Cli) -> None:
    cli(*OPEN)
    command = headwater("run", "--json")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        for line in one.stdout:
            if json.loads(line)["lag"] == 0:
                break
        one.send_signal(sent)
        out, err = one.communicate(timeout=20)
    assert one.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["state"] == "stopped"
    assert "Traceback" not in err


def test_a_second_process_is_told_who_runs_the_pipelines(project: Path, cli: Cli) -> None:
    cli(*OPEN)
    command = headwater("run", "--json")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
        assert one.stdout is not None
        one.stdout.readline()
        other = run("run", "--until-caught-up", "--json")
        waited = run("execute", "Deposit", DEPOSIT, "--wait", "balances", "--json")
        rebuilt = run("projection", "rebuild", "balances", "--json")
        one.terminate()
        one.communicate(timeout=20)
    assert other.returncode == 5
    assert json.loads(other.stderr)["error"]["code"] == "HW-406"
    assert str(one.pid) in other.stderr
    assert waited.returncode == 0, waited.stderr
    assert rebuilt.returncode == 0, rebuilt.stderr


def test_a_reader_that_goes_away_ends_it_quietly(project: Path, cli: Cli) -> None:
    cli(*OPEN)
    command = headwater("events", "--follow", "--json")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stderr is not None
        one.stdout.readline()
        one.stdout.close()
        run("execute", "Deposit", DEPOSIT)
        assert one.wait(timeout=20) == 128 + signal.SIGPIPE
        assert one.stderr.read() == b""


def test_followed_events_arrive_as_they_are_stored(project: Path, cli: Cli) -> None:
    cli(*OPEN)
    command = headwater("events", "--follow", "--json")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert json.loads(one.stdout.readline())["version"] == 1
        run("execute", "Deposit", DEPOSIT)
        assert json.loads(one.stdout.readline())["version"] == 2
        one.send_signal(signal.SIGINT)
        _, err = one.communicate(timeout=20)
    assert one.returncode == 130
    assert b"Traceback" not in err


def test_a_narrow_terminal_gets_narrow_lines(project: Path, cli: Cli) -> None:
    cli(*OPEN)
    done = run("status", COLUMNS="60")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 60


def test_names_stay_whole_in_a_terminal_of_80_columns(project: Path, cli: Cli) -> None:
    source = (project / "bank" / "balances.py").read_text()
    (project / "bank" / "balances.py").write_text(source.replace('"balances"', '"balances-by-day"'))
    lines = run("status", COLUMNS="80").stdout.splitlines()
    assert lines[-1].split() == ["balances-by-day", "new", *["0"] * 6, "nobody"]


def test_explain_says_which_event_failed_and_how(project: Path) -> None:
    source = (project / "bank" / "balances.py").read_text()
    (project / "bank" / "balances.py").write_text(source.replace("row.amount += event.amount", "row.amount += 1 // 0"))
    assert run(*OPEN).returncode == run("execute", "Deposit", DEPOSIT).returncode == 0
    assert "failed: ZeroDivisionError" in run("projection", "explain", "balances", "a-1").stdout
    explained = json.loads(run("projection", "explain", "balances", "a-1", "--json").stdout)
    assert "ZeroDivisionError" in explained["steps"][1]["error"]


def test_no_colours_where_nobody_looks(project: Path, cli: Cli) -> None:
    assert "\x1b" not in run("status").stdout


def test_help_is_there_at_once() -> None:
    """What it takes is what it imports: neither the databases nor pydantic's settings."""
    code = "import sys; from headwater.cli.main import invoke; invoke(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"sqlalchemy", "alembic", "pydantic_settings", "psycopg", "structlog", "projections"})
