"""A user's own module that hides a package of headwater."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.cli.main import invoke


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("package", ["projections", "cdc", "eventstore"])
def test_a_module_beside_the_script_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("from headwater import Event\n")
    (tmp_path / "main.py").write_text(f"import {package}\n")
    done = run(tmp_path, "main.py")
    assert done.returncode == 1
    assert f"{package}.py hides headwater's package '{package}'" in done.stderr
    assert "headwater init" in done.stderr


def test_the_command_line_says_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cdc.py").write_text("")
    monkeypatch.delitem(sys.modules, "cdc")
    monkeypatch.syspath_prepend(tmp_path)
    assert invoke(["--app", "main:app", "status"]) == 3
    assert "HW-103" in capsys.readouterr().err


def test_a_module_of_that_name_in_a_package_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "projections.py").write_text("from headwater import Projection\nprint(Projection.__name__)\n")
    done = run(tmp_path, "-c", "import shop.projections")
    assert done.stdout == "Projection\n", done.stderr
