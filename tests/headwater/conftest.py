"""A project made by ``headwater init``, and the command line run on it within the test's own process."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from headwater.cli.main import invoke
from headwater.scaffold import scaffold


class Outcome(NamedTuple):
    """What a run of the command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings of the developer's, and the current folder, import path and log handlers as they were."""
    for name in list(os.environ):
        if name.upper().startswith("HEADWATER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    logging.getLogger("headwater").setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """``cli("status", "--json")`` → exit code, stdout, stderr."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = invoke(arguments)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scaffolded project called ``bank``, with the current folder in it.

    Its modules are imported once a session, as models can be declared once; each test has a database of its own.
    """
    folder = tmp_path / "project"
    scaffold("bank", folder)
    monkeypatch.chdir(folder)
    return folder
