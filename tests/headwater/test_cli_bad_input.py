"""What the command line is given that it cannot use, and what it prints that a terminal should not get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater.cli import console

Cli = Callable[..., Any]
OPEN = ("execute", "OpenAccount", '{"account_id": "a-1", "owner": "Ada"}')
BEYOND = str(1 << 63)


@pytest.mark.parametrize(
    "arguments",
    [
        ("stream", "show", "account-\udcff"),
        ("stream", "state", "account-\udcff"),
        ("stream", "state", "account-a-1", "--version", BEYOND),
        ("stream", "state", "account-a-1", "--at", "0001-01-01T00:00:00+23:59"),
        ("stream", "show", "account-a-1", "--after", BEYOND),
        ("stream", "list", "--limit", BEYOND),
        ("stream", "list", "--after", "\udcff"),
        ("events", "--since", "999999999d"),
        ("projection", "explain", "balances", "\udcff"),
        ("dlq", "list", "--key", "\udcff"),
        ("dlq", "show", BEYOND),
        ("dlq", "discard", "1", "--why", "\udcff"),
        (*OPEN, "--expected", BEYOND),
        (*OPEN, "--user", "\udcff"),
    ],
)
def test_an_argument_that_no_database_takes_is_exit_code_2(project: Path, cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments, "--json")
    assert (done.code, done.error["code"]) == (2, "usage")


def test_an_error_about_bytes_that_are_no_text_is_json_all_the_same(project: Path, cli: Cli) -> None:
    done = cli("--app", "\udcff:app", "status", "--json")
    assert done.code == 3
    assert "dcff" in done.error["what"]


def test_a_handler_that_ends_the_process_is_not_taken_for_a_reader_that_left(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli(*OPEN)
    from headwater.app import App

    monkeypatch.setattr(App, "status", lambda self: sys.exit(3))
    done = cli("status", "--json")
    assert done.code == 70
    assert "SystemExit" in done.error["what"]


def test_a_database_that_is_away_is_one_panel_and_no_traceback_of_a_thread(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE", "postgresql://ada:secret@127.0.0.1:1/bank")
    done = cli("run", "--until-caught-up")
    assert done.code == 4
    assert "Traceback" not in done.err


def test_doctor_names_a_path_that_no_file_can_have(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE", f"sqlite:///{'x' * 300}")
    done = cli("doctor", "--json")
    assert done.code == 5
    assert "too long" in done.json[-1]["why"]


def test_doctor_names_a_file_that_is_no_database(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "other.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("HEADWATER_DATABASE", "sqlite:///other.db")
    done = cli("doctor", "--json")
    assert done.code == 5
    assert "is not a SQLite database" in done.json[-1]["what"]


def test_what_would_steer_a_terminal_is_shown_as_it_is_written(project: Path, cli: Cli) -> None:
    key = "\x1b]0;owned\x07\x9b\u202e"
    cli("execute", "OpenAccount", json.dumps({"account_id": key, "owner": "Ada"}))
    for arguments in (("stream", "list"), ("events",), ("stream", "show", f"account-{key}x")):
        done = cli(*arguments)
        assert r"\x1b]0;owned\x07\x9b\u202e" in done.out + done.err
        assert not set(key) & set("\x1b\x07\x9b\u202e") & set(done.out + done.err)
    assert cli("stream", "list", "--json").json[0]["stream"] == f"account-{key}"


def test_a_long_event_is_cut_for_people_and_whole_in_json(project: Path, cli: Cli) -> None:
    owner = "x" * 1_000_000
    done = cli("execute", "OpenAccount", json.dumps({"account_id": "a-1", "owner": owner}))
    assert (done.code, len(done.out) < 20_000) == (0, True)
    shown = cli("events")
    assert "more characters: --json" in shown.out
    assert cli("events", "--json").json["data"]["owner"] == owner


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(project: Path, cli: Cli, encoding: str) -> None:
    name = "Zoë → 😀"
    cli("execute", "OpenAccount", json.dumps({"account_id": "a-1", "owner": name}))
    root = str(Path(console.__file__).resolve().parents[2])
    command = [sys.executable, "-c", "from headwater.cli.main import main; main()"]
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONIOENCODING": encoding}
    for arguments in (["stream", "show", "account-a-1"], ["doctor"], ["events", "--json"]):
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode(encoding))["data"]["owner"] == name
