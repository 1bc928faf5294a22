"""What holds for the repository as a whole: imports, names, pins, and nothing in it that belongs elsewhere."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eventstore import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["headwater", "headwater.testing", "eventstore.pipeline", "projections", "cdc"]
# Written in pieces, so that this file does not find itself.
FOREIGN = {
    "a path of one machine": re.compile("|".join(["/wo" + "rk/", "/ro" + "ot/", "/tm" + "p/hw", "/ho" + r"me/\w+/"])),
    "a folder outside the repository": re.compile(r"\.\./sha" + "red"),
    "the address of a registry": re.compile("|".join([r"pypi\.o" + "rg", r"pythonho" + "sted", "--index" + "-url"])),
}


def tracked() -> list[Path]:
    # safe.directory: a checkout that belongs to another user is still this repository.
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_imports_between_packages_go_one_way() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    checked = subprocess.run(
        [*command, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("what", FOREIGN)
def test_no_tracked_file_holds(what: str) -> None:
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" in content[:8192] or content[:2] == b"\x1f\x8b":
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if FOREIGN[what].search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_explained(package: str) -> None:
    module = importlib.import_module(package)
    assert (module.__doc__ or "").strip(), f"{package} has no docstring"
    bare = []
    for name in module.__all__:
        found = getattr(module, name)
        explained = (found.__doc__ or "").strip() if isinstance(found, type) or inspect.isfunction(found) else "data"
        in_the_tree = isinstance(found, type) and issubclass(found, errors.HeadwaterError)
        if not explained and not in_the_tree:
            bare.append(f"{package}.{name}")
    assert not bare


def test_the_tree_of_errors_is_drawn_completely() -> None:
    drawn = dict(re.findall(r"(\w+) +(HW-\d{3})", errors.__doc__ or ""))
    raised = {
        name: kind.code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.HeadwaterError)
    }
    assert drawn == raised


def test_every_code_belongs_to_one_error() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.HeadwaterError)]
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_everything_that_is_installed_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    pins = {_normal(line.partition("==")[0]) for line in lines if "==" in line}
    assert len(pins) == len(lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = (
        project["build-system"]["requires"] + project["project"]["dependencies"] + extras["postgres"] + extras["dev"]
    )
    assert {_normal(re.split(r"[\[<>=~! ]", each)[0]) for each in wanted} <= pins


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_modules_stay_small() -> None:
    code = [path for path in tracked() if path.suffix == ".py" and "tests" not in path.parts]
    large = {str(path.relative_to(ROOT)): n for path in code if (n := path.read_bytes().count(b"\n")) > 400}
    assert not large


def test_packages_say_that_they_are_typed() -> None:
    for package in ("eventstore", "projections", "cdc", "headwater"):
        assert (ROOT / package / "py.typed").is_file()
