"""Log lines: on stderr, as text or JSON, of the level that was set."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from headwater.logs import configure
from headwater.settings import Settings


def test_json_lines_carry_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"))
    structlog.get_logger("headwater.shop").info("paid", order="o-1")
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert (line["event"], line["order"], line["level"], line["logger"]) == ("paid", "o-1", "info", "headwater.shop")


def test_the_level_is_that_of_headwater_and_others_only_warn(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_level="debug"))
    logging.getLogger("headwater.worker").debug("looked")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble")
    err = capsys.readouterr().err
    assert "looked" in err
    assert "chatter" not in err
    assert "trouble" in err


def test_an_error_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"))
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("headwater.worker").exception("a batch failed")
    assert "ValueError: broken" in json.loads(capsys.readouterr().err)["exception"]
