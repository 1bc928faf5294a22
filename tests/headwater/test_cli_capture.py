"""Captures and dead letters on the command line, on the sample shop and its real capture."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sample_app
from headwater import App

Cli = Callable[..., Any]
CAPTURE = str(Path(sample_app.__file__).parent / "data" / "changes.jsonl.gz")
PRICE, EMAIL = "public.product:SKU-0007", "public.customer:33"


def _parts(app: App) -> list[Any]:
    return [*app.parts.aggregates.values(), *app.parts.projections.values(), *app.parts.ingests.values()]


@pytest.fixture
def shop(cli: Cli) -> Cli:
    """The command line on the sample shop, in an empty folder."""

    def run(*arguments: str) -> Any:
        return cli("--app", "sample_app.app:app", *arguments)

    return run


@pytest.fixture(scope="module")
def ingested_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database into which the capture has been ingested, to be copied."""
    from sample_app.app import app

    path = tmp_path_factory.mktemp("ingested") / "shop.db"
    with App(app.name, *_parts(app), database=f"sqlite:///{path}") as copied:
        copied.ingest(CAPTURE)
    return path


@pytest.fixture
def ingested(shop: Cli, ingested_file: Path, tmp_path: Path) -> Cli:
    """The same, when the capture has been ingested."""
    shutil.copy(ingested_file, tmp_path / "shop.db")
    return shop


def test_a_capture_is_inspected_without_an_application(cli: Cli) -> None:
    shown = cli("inspect", CAPTURE)
    assert shown.code == 0
    assert "sku Text, warehouse Text, quantity Integer" in shown.out
    (found,) = cli("inspect", CAPTURE, "--json").json
    assert found["records"] == 3252
    assert {each["table"] for each in found["tables"]} == {"public.customer", "public.product", "public.stock"}


def test_a_capture_that_is_not_there_is_exit_code_1(shop: Cli) -> None:
    missing = shop("ingest", "nothing.jsonl", "--json")
    assert (missing.code, missing.error["code"]) == (1, "HW-700")


def test_an_ingest_says_what_came_of_it(shop: Cli) -> None:
    done = shop("ingest", CAPTURE, "--json")
    assert done.code == 5
    (summary,) = done.json
    assert (summary["records"], summary["read"], summary["parked"]) == (3252, 3252, 3)
    assert summary["events"] > 1000
    assert PRICE in {letter["key"] for letter in summary["dead_letters"]}


def test_what_was_read_is_not_read_again(ingested: Cli) -> None:
    again = ingested("ingest", CAPTURE, "--json")
    assert again.code == 0
    assert (again.json[0]["read"], again.json[0]["events"]) == (0, 0)


def test_a_dry_run_keeps_nothing(shop: Cli, tmp_path: Path) -> None:
    done = shop("ingest", CAPTURE, "--dry-run")
    assert done.code == 5
    assert "nothing was kept" in done.err
    assert "price = -4.00" in done.err
    assert not list(tmp_path.glob("*.db"))


def test_dead_letters_are_listed(ingested: Cli) -> None:
    shown = ingested("dlq", "list")
    assert "email = 'not an address'" in shown.out
    assert "open dead letters" in shown.err
    states = [each["state"] for each in ingested("dlq", "list", "--key", PRICE, "--json").json]
    assert states[0] == "parked"
    assert set(states[1:]) == {"blocked"}


def test_a_dead_letter_is_shown_whole(ingested: Cli) -> None:
    id = str(ingested("dlq", "list", "--key", PRICE, "--json").json[0]["id"])
    found = ingested("dlq", "show", id, "--json").json
    assert json.loads(found["record"]["value"])["payload"]["after"]["sku"] == "SKU-0007"
    assert "ValidationError" in found["traceback"]
    assert found["behind"]
    shown = ingested("dlq", "show", id).out
    assert "its schema is left out" in shown
    assert "Traceback" in shown


def test_a_retry_that_fails_again_stays_parked(ingested: Cli) -> None:
    done = ingested("dlq", "retry", "--key", EMAIL, "--json")
    assert done.code == 5
    assert (done.json[0]["was"], done.json[0]["state"], done.json[0]["attempts"]) == ("parked", "parked", 4)
    assert "0 dead letters closed" in ingested("dlq", "retry", "--key", EMAIL).err


@pytest.mark.parametrize("verb", ["list", "retry"])
def test_a_pipeline_that_nobody_knows_is_no_good_news(verb: str, ingested: Cli) -> None:
    done = ingested("dlq", verb, "--pipeline", "legcy", "--json")
    assert (done.code, done.error["what"]) == (1, "there is no pipeline 'legcy'")


def test_a_retry_of_a_key_that_waits_for_nothing_says_so(ingested: Cli) -> None:
    done = ingested("dlq", "retry", "--key", "public.product:SKU-0001", "--json")
    assert (done.code, done.error["code"]) == (1, "HW-700")


def test_a_choice_of_dead_letters_says_how_many_there_are_in_all(ingested: Cli) -> None:
    every = ingested("dlq", "list").err.strip()
    assert ingested("dlq", "list", "--closed").err.strip() == f"0 shown, {every} in all"


def test_a_retry_needs_to_know_what(ingested: Cli) -> None:
    assert ingested("dlq", "retry").code == 2


def test_a_collapse_keeps_the_newest(ingested: Cli) -> None:
    done = ingested("dlq", "collapse", "--key", PRICE, "--json")
    assert done.code == 0
    states = [each["state"] for each in done.json]
    assert states[-1] == "resolved"
    assert set(states[:-1]) == {"superseded"}
    assert "superseded by" in ingested("dlq", "list", "--closed").out


def test_a_discard_keeps_the_reason_and_lets_the_next_go_on(ingested: Cli) -> None:
    first = str(ingested("dlq", "list", "--key", EMAIL, "--json").json[0]["id"])
    done = ingested("dlq", "discard", first, "--why", "a test record", "--json")
    assert (done.json[0]["state"], done.json[0]["note"]) == ("discarded", "a test record")
    assert done.json[1]["was"] == "blocked"
    assert done.json[1]["state"] in ("resolved", "parked")


def test_a_discard_without_a_reason_is_refused(ingested: Cli) -> None:
    assert ingested("dlq", "discard", "1").code == 2
    assert ingested("dlq", "discard", "1", "--why", " ", "--json").error["code"] == "HW-304"


def test_the_documented_fields_are_the_printed_ones(ingested: Cli) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()

    def documented(before: str) -> list[str]:
        found = re.search(rf"{before}\s+`([^`]+)`", page)
        assert found is not None
        return re.split(r",\s+", found[1])

    pipeline = ingested("status", "--json").json["pipelines"][0]
    letter = ingested("dlq", "list", "--json").json[0]
    event = ingested("events", "--last", "1", "--json").lines[0]
    assert list(pipeline) == documented("A pipeline has")
    assert list(letter) == documented("A dead letter has")
    assert list(event) == documented(r"a line an event:")


def test_doctor_names_the_dead_letters(ingested: Cli) -> None:
    found = ingested("doctor", "--json")
    assert found.code == 5
    assert any(each["about"] == "dead letters" and each["level"] == "error" for each in found.json)


def test_a_running_worker_lets_an_ingest_through_and_works_its_dead_letters(tmp_path: Path) -> None:
    """Without a source a pipeline gives its lease back; else the ingest would wait for it for ever."""
    from sample_app.app import app

    half = tmp_path / "half.jsonl"
    with gzip.open(CAPTURE) as lines:
        half.write_bytes(b"".join(line for _, line in zip(range(900), lines, strict=False)))
    try:
        with app.running():
            (first,) = app.ingest(half)
            (second,) = app.ingest(CAPTURE)
            app.dead_letters.retry(pipeline="legacy-shop")
            app.work_off(["legacy-shop"])
            attempts = {letter.attempts for letter in app.dead_letters.list() if letter.state == "parked"}
    finally:
        app.close()
    assert first.read == 900
    assert second.read == 3252
    assert attempts == {4}
