"""What ``headwater init`` makes: it runs, its tests pass, and it is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import DeclarationError
from headwater.scaffold import scaffold

Cli = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(folder.parent / "installed")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_its_tests_pass(tmp_path: Path) -> None:
    scaffold("my_bank", tmp_path / "new")
    done = run(tmp_path / "new", "-m", "pytest", "-q", "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_it_is_strictly_typed(tmp_path: Path) -> None:
    scaffold("my_bank", tmp_path / "new")
    (tmp_path / "installed").mkdir()
    for package in ("headwater", "eventstore", "projections", "cdc"):
        (tmp_path / "installed" / package).symlink_to(ROOT / package)
    done = run(tmp_path / "new", "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_well_formatted(tmp_path: Path) -> None:
    scaffold("my_bank", tmp_path / "new")
    options = ["--no-cache", "--line-length", "120"]
    assert run(tmp_path / "new", "-m", "ruff", "format", "--check", *options, ".").returncode == 0
    checked = run(tmp_path / "new", "-m", "ruff", "check", "--select", "E,F,I,B,UP", *options, ".")
    assert checked.returncode == 0, checked.stdout


def test_init_lists_what_it_made_and_what_to_do_next(cli: Cli, tmp_path: Path) -> None:
    made = cli("init", "bank")
    assert made.code == 0
    assert "bank/bank/app.py" in made.out
    assert "cd bank" in made.err
    assert cli("init", "other", "--folder", "elsewhere", "--json").json["folder"] == "elsewhere"
    assert (tmp_path / "elsewhere" / "other" / "app.py").is_file()


def test_nothing_is_overwritten(cli: Cli, tmp_path: Path) -> None:
    cli("init", "bank")
    (tmp_path / "bank" / "README.md").write_text("mine")
    again = cli("init", "bank", "--json")
    assert (again.code, again.error["why"]) == (3, "nothing is overwritten")
    assert (tmp_path / "bank" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["Bank", "1bank", "my-bank", "class", "cdc", "headwater", "json", "../bank", ""])
def test_a_name_that_cannot_be_a_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="cannot name a package"):
        scaffold(name, tmp_path / "new")
