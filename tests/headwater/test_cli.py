"""Every verb on a scaffolded project, as text and as JSON."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from eventstore.sql.engine import connect
from headwater.cli import run

Cli = Callable[..., Any]
OPEN = '{"account_id": "a-1", "owner": "Ada"}'


@pytest.fixture
def bank(project: Path, cli: Cli) -> Path:
    """The project with one account that has two events."""
    assert cli("execute", "OpenAccount", OPEN).code == 0
    assert cli("execute", "Deposit", '{"account_id": "a-1", "amount": "25.50"}').code == 0
    return project


def test_help_lists_every_verb_and_the_exit_codes(cli: Cli) -> None:
    shown = cli("--help").out
    verbs = ["init", "run", "status", "execute", "stream", "events", "ingest", "inspect", "projection", "dlq", "doctor"]
    assert all(f" {verb} " in shown for verb in verbs)
    assert "5 somebody should look" in shown


@pytest.mark.parametrize("group", [(), ("dlq",), ("stream",), ("projection",)])
def test_without_a_verb_there_is_the_help_and_no_error(group: tuple[str, ...], cli: Cli) -> None:
    shown = cli(*group)
    assert (shown.code, shown.err) == (2, "")
    assert "Commands" in shown.out


# -------------------------------------------------------------------- execute


def test_execute_prints_the_receipt(project: Path, cli: Cli) -> None:
    done = cli("execute", "open-account", OPEN)
    assert done.out.splitlines() == [
        "account-a-1 is at version 1 (1 event)",
        '     1  AccountOpened  {"owner":"Ada"}',
    ]


def test_execute_as_json_is_the_receipt(project: Path, cli: Cli) -> None:
    receipt = cli("execute", "OpenAccount", OPEN, "--id", "k", "--json").json
    assert receipt["stream"] == "account-a-1"
    assert receipt["events"][0]["data"] == {"owner": "Ada"}
    assert list(receipt["position"].values()) == [1]
    assert cli("execute", "OpenAccount", OPEN, "--id", "k", "--json").json["repeated"]


def test_a_refusal_is_exit_code_1(bank: Path, cli: Cli) -> None:
    refused = cli("execute", "Withdraw", '{"account_id": "a-1", "amount": 100}')
    assert refused.code == 1
    assert "the balance is 25.50, too little to withdraw 100" in refused.err
    assert "Traceback" not in refused.err


def test_fields_that_do_not_fit_are_said_one_by_one(project: Path, cli: Cli) -> None:
    error = cli("execute", "Deposit", '{"amount": "a lot", "when": 1}', "--json").error
    assert error["exit_code"] == 1
    assert error["why"].splitlines() == [
        "account_id: Field required",
        "amount: Input should be a valid decimal",
        "when: Extra inputs are not permitted",
    ]
    assert error["fix"] == "its fields are account_id: str, amount: Decimal"


def test_execute_without_a_command_lists_them(project: Path, cli: Cli) -> None:
    assert "account_id: str, owner: str" in cli("execute").out
    assert [each["command"] for each in cli("execute", "--json").json] == ["Deposit", "OpenAccount", "Withdraw"]


def test_an_unknown_command_is_answered_with_what_was_meant(project: Path, cli: Cli) -> None:
    assert cli("execute", "Depositt", "--json").error["fix"] == "did you mean Deposit?"


def test_waiting_for_nobody_is_exit_code_5(project: Path, cli: Cli) -> None:
    done = cli("execute", "OpenAccount", OPEN, "--wait", "balances", "--timeout", "0.05", "--json")
    assert (done.code, done.error["code"]) == (5, "HW-502")
    assert (done.json["stream"], done.json["version"]) == ("account-a-1", 1)  # it is stored all the same


# -------------------------------------------------------------------- running


def test_a_run_in_the_background_says_only_what_changed(
    bank: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "LINE_SECONDS", 0.0)
    app = importlib.import_module("bank.app").app
    with app, run._Display(app, json=False) as display:
        capsys.readouterr()
        display.look()
        display.look()
        app.execute(importlib.import_module("bank.account").Deposit(account_id="a-1", amount=1))
        display.look()
    assert capsys.readouterr().err.splitlines() == [
        "balances: new, 0 handled, 2 behind",
        "balances: new, 0 handled, 3 behind",
    ]


# -------------------------------------------------------------------- reading


def test_streams_are_listed(bank: Path, cli: Cli) -> None:
    assert "account-a-1" in cli("stream", "list").out
    (info,) = cli("stream", "list", "--category", "account", "--json").json
    assert (info["stream"], info["version"]) == ("account-a-1", 2)


def test_a_stream_is_shown(bank: Path, cli: Cli) -> None:
    assert 'MoneyDeposited  {"amount":"25.50"}' in cli("stream", "show", "account-a-1").out
    events = cli("stream", "show", "account-a-1", "--json").lines
    assert [(each["version"], each["type"]) for each in events] == [(1, "AccountOpened"), (2, "MoneyDeposited")]


def test_a_stream_that_is_not_there_is_exit_code_1(bank: Path, cli: Cli) -> None:
    missing = cli("stream", "show", "account-a-9", "--json")
    assert (missing.code, missing.error["code"]) == (1, "HW-700")


def test_a_state_as_of_a_version(bank: Path, cli: Cli) -> None:
    assert "25.50" in cli("stream", "state", "account-a-1").out
    assert cli("stream", "state", "account-a-1", "--version", "1", "--json").json["state"] == {"balance": "0"}


def test_a_state_before_the_stream_began(bank: Path, cli: Cli) -> None:
    assert cli("stream", "state", "account-a-1", "--at", "2020-01-01", "--json").error["code"] == "HW-700"


def test_a_time_that_is_none_is_exit_code_2(bank: Path, cli: Cli) -> None:
    wrong = cli("stream", "state", "account-a-1", "--at", "yesterday", "--json")
    assert (wrong.code, wrong.error["code"]) == (2, "usage")


def test_events_are_filtered(bank: Path, cli: Cli) -> None:
    assert "2 events" in cli("events").err
    assert [each["type"] for each in cli("events", "--type", "MoneyDeposited", "--json").lines] == ["MoneyDeposited"]
    assert [each["version"] for each in cli("events", "--last", "1", "--json").lines] == [2]
    assert cli("events", "--category", "account", "--since", "1h", "--json").lines[0]["version"] == 1
    assert cli("events", "--since", "2999-01-01", "--json").lines == []


# -------------------------------------------------------------------- pipelines


def test_status_before_and_after_a_run(bank: Path, cli: Cli) -> None:
    assert cli("status", "--json").json["pipelines"][0]["lag"] == 2
    done = cli("run", "--until-caught-up")
    assert done.code == 0
    assert "balances" in done.out
    (status,) = cli("status", "--json").json["pipelines"]
    assert (status["name"], status["lag"], status["state"]) == ("balances", 0, "stopped")
    assert "nobody" in cli("status").out


def test_run_as_json_is_a_line_a_change(bank: Path, cli: Cli) -> None:
    lines = cli("run", "--until-caught-up", "--json").lines
    assert (lines[-1]["name"], lines[-1]["lag"]) == ("balances", 0)


def test_projections_are_listed(bank: Path, cli: Cli) -> None:
    assert "AccountOpened, MoneyDeposited, MoneyWithdrawn" in cli("projection", "list").out
    assert cli("projection", "list", "--json").json[0]["tables"] == ["balance"]
    assert cli("projection", "status", "--json").json[0]["name"] == "balances"
    assert "balances" in cli("projection", "status").out


def test_a_rebuild_says_how_much_it_folded(bank: Path, cli: Cli) -> None:
    cli("run", "--until-caught-up")
    assert "folded anew from 2 records" in cli("projection", "rebuild", "balances").out
    assert cli("projection", "rebuild", "balances", "--json").json["records"] == 2


def test_explain_shows_old_and_new(bank: Path, cli: Cli) -> None:
    cli("run", "--until-caught-up")
    shown = cli("projection", "explain", "balances", "a-1")
    assert "the row in the table is what the log gives (2 events)" in shown.out
    steps = cli("projection", "explain", "balances", "a-1", "--json").json["steps"]
    assert steps[1]["changes"]["amount"] == {"old": "0.00", "new": "25.50"}


def test_explain_says_when_the_table_is_behind(bank: Path, cli: Cli) -> None:
    found = cli("projection", "explain", "balances", "a-1", "--json").json
    assert not found["same"]
    shown = cli("projection", "explain", "balances", "a-1")
    assert shown.code == 5
    assert "differs from what the log gives" in shown.err


def test_explain_of_a_row_that_is_not_there_is_exit_code_1(bank: Path, cli: Cli) -> None:
    shown = cli("projection", "explain", "balances", "a-9")
    assert shown.code == 1
    assert "no event touched it" in shown.err


def test_a_key_of_too_many_columns_is_exit_code_2(bank: Path, cli: Cli) -> None:
    assert cli("projection", "explain", "balances", "a", "1").code == 2


# -------------------------------------------------------------------- errors


def test_an_unknown_verb_is_exit_code_2(cli: Cli) -> None:
    assert cli("nonsense", "--json").error["exit_code"] == 2


def test_no_application_is_exit_code_3(cli: Cli) -> None:
    error = cli("status", "--json").error
    assert (error["exit_code"], error["what"]) == (3, "no application is named")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("bank", "'bank' names no application"),
        ("bnak.app:app", "there is no module 'bnak'"),
        ("bank.app:application", "bank.app has no application 'application'"),
        ("bank.events:Decimal", "bank.events has no application 'Decimal'"),
    ],
)
def test_a_wrong_application_is_explained(name: str, what: str, project: Path, cli: Cli) -> None:
    error = cli("--app", name, "status", "--json").error
    assert (error["exit_code"], error["what"]) == (3, what)
    assert "option --app" in error["why"]


def test_a_module_that_fails_is_named_with_the_line(project: Path, cli: Cli) -> None:
    (project / "broken_line.py").write_text("\n\n1 / 0\n")
    error = cli("--app", "broken_line:app", "status", "--json").error
    assert error["exit_code"] == 3
    assert "ZeroDivisionError: division by zero" in error["why"]
    assert error["why"].endswith("broken_line.py, line 3")


def test_a_module_that_ends_the_process_is_named(project: Path, cli: Cli) -> None:
    (project / "broken_exit.py").write_text("import sys\nsys.exit(1)\n")
    error = cli("--app", "broken_exit:app", "status", "--json").error
    assert error["exit_code"] == 3
    assert "SystemExit: 1" in error["why"]


def test_a_module_that_imports_what_is_not_there_is_not_taken_for_missing(project: Path, cli: Cli) -> None:
    (project / "broken_import.py").write_text("import nothing_of_that_name\n")
    error = cli("--app", "broken_import:app", "status", "--json").error
    assert "No module named 'nothing_of_that_name'" in error["why"]


def test_an_unreachable_database_is_exit_code_4(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE", "postgresql://joe:s3cret@127.0.0.1:1/x")
    done = cli("status")
    assert done.code == 4
    assert "s3cret" not in done.err


def test_a_bug_is_a_panel_and_with_debug_a_traceback(bank: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.app.App.status", lambda _: 1 / 0)
    assert cli("status").code == 70
    assert "Traceback" not in cli("status").err
    assert "Traceback" in cli("--debug", "status").err


def test_stdout_holds_results_only(bank: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_LOG_LEVEL", "debug")
    assert cli("status", "--json").json["app"] == "bank"


# -------------------------------------------------------------------- doctor


def test_doctor_finds_nothing_wrong_with_a_fresh_project(bank: Path, cli: Cli) -> None:
    cli("run", "--until-caught-up")
    done = cli("doctor")
    assert done.code == 0
    assert "nothing is wrong" in done.err
    found = cli("doctor", "--json").json
    assert {each["level"] for each in found} == {"ok"}
    assert any(each["why"] == "from pyproject.toml, [tool.headwater]: database" for each in found)


def test_doctor_names_what_is_behind(bank: Path, cli: Cli) -> None:
    found = cli("doctor", "--json").json
    assert [each["fix"] for each in found if "behind, and nobody runs it" in each["what"]] == ["headwater run"]


def test_doctor_names_a_broken_application(project: Path, cli: Cli) -> None:
    done = cli("--app", "bank.events:app", "doctor", "--json")
    assert done.code == 5
    assert done.json[0]["what"] == "bank.events has no application 'app'"


def test_doctor_names_rows_folded_by_other_logic(bank: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("run", "--until-caught-up")
    from bank.balances import balances  # type: ignore[import-not-found]

    monkeypatch.setattr(balances, "version", 2)
    done = cli("doctor", "--json")
    assert done.code == 5
    assert "headwater projection rebuild balances" in [each["fix"] for each in done.json]


def test_doctor_names_an_unreachable_database(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE", "postgresql://joe:s3cret@127.0.0.1:1/x")
    done = cli("doctor")
    assert done.code == 5
    assert "s3cret" not in done.out
    assert "cannot be used now" in done.out


def test_a_file_that_is_no_database_is_left_alone(project: Path, cli: Cli) -> None:
    text = "not a database, but somebody's notes\n" * 50
    (project / "bank.db").write_text(text)
    error = cli("status", "--json").error
    assert error["exit_code"] == 3
    assert "is not a SQLite database" in error["what"]
    assert (project / "bank.db").read_text() == text


def test_doctor_tells_a_file_that_can_only_be_read(bank: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that is mounted so; SQLite begins to write on one without complaint."""

    def read_only(url: str) -> Engine:
        engine = connect(url)
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
        return engine

    monkeypatch.setattr("headwater.diagnosis.connect", read_only)
    done = cli("doctor", "--json")
    assert (done.code, done.json[-1]["about"]) == (5, "reachable")
    assert "readonly" in done.json[-1]["why"]


def test_names_that_cannot_be_are_told_from_names_that_are_not_there(bank: Path, cli: Cli) -> None:
    assert cli("stream", "show", "nonsense").code == 2
    assert cli("events", "--category", "nonsense").code == 1
    assert cli("stream", "list", "--category", "nonsense").code == 1
