"""Runs what the documentation tells people to run.

A block ```` ```python shop.py ```` is a file to write; ``… in place of Order.pay`` replaces a definition in it,
``… after Order`` and ``… at the top`` add to it. In a ```` ```console ```` block every ``$ `` line is a command,
and the lines below it are output that must appear, in order; ``…`` stands for anything. ``exit=1`` says how the
last command ends; one that ends with ``&`` goes on until the page ends. Blocks of other kinds are for reading.
A page whose first line is ``<!-- goes on from: PAGE -->`` is followed in the folder that PAGE leaves behind.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-service.md"
HOW_TOS = sorted((ROOT / "docs" / "how-to").glob("*.md"))
DOCUMENTED_DATABASE = "postgresql://headwater:headwater@127.0.0.1/headwater"
COMMAND_SECONDS = 60


class Block(NamedTuple):
    """A fenced block: its language, the file it is about, what to do with it, its text, its line."""

    language: str
    file: str
    how: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    content = page.read_text()
    for found in re.finditer(r"^```(\w+) *(\S*) *(.*)\n((?s:.*?))^```$", content, flags=re.MULTILINE):
        yield Block(found[1], found[2], found[3], found[4], content.count("\n", 0, found.start()) + 1)


class Reader:
    """Somebody who follows a page in ``folder``. ``instead``: what is written as something else here."""

    def __init__(self, folder: Path, instead: Mapping[str, str]) -> None:
        self._folder, self._instead = folder, instead
        self._background: list[subprocess.Popen[bytes]] = []
        self._environment = {
            name: v for name, v in os.environ.items() if not name.startswith(("HEADWATER_", "PYTEST_"))
        }
        self._environment |= {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def follow(self, page: Path) -> None:
        """Write the page's files and run its commands, from top to bottom."""
        try:
            for block in blocks(page):
                if block.language == "console":
                    self._run_all(block, page)
                elif block.file:
                    self._write(block)
        finally:
            self._end_background()

    def _write(self, block: Block) -> None:
        path = self._folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if block.how else ""
        path.write_text(edited(before, block.how, self._here(block.text)))

    def _run_all(self, block: Block, page: Path) -> None:
        steps = list(_steps(block.text))
        for number, (command, expected) in enumerate(steps, 1):
            where = f"{page.relative_to(ROOT)}, line {block.line}: {command}"
            if command.startswith("cd "):
                self._folder /= command.removeprefix("cd ")
                continue
            if command.endswith("&"):
                self._start(command.removesuffix("&"))
                continue
            code, output = self._run(command)
            wanted = int(block.file.removeprefix("exit=") or 0) if number == len(steps) else 0
            assert code == wanted, f"{where}\nended with {code}, not {wanted}\n{output}"
            assert shows(output, expected), f"{where}\nexpected {expected}\ngot\n{output}"

    def _run(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", self._here(command)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout

    def _start(self, command: str) -> None:
        self._background.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {self._here(command)}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def _end_background(self) -> None:
        for process in self._background:
            process.send_signal(signal.SIGTERM)
        for process in self._background:
            process.wait(timeout=20)

    def _here(self, text: str) -> str:
        for written, real in self._instead.items():
            text = text.replace(written, real)
        return text


def edited(content: str, how: str, text: str) -> str:
    """``content`` with ``text`` put where ``how`` says; no ``how``: ``text`` alone."""
    if not how:
        return text
    if how == "at the top":
        return text + content
    lines = content.splitlines(keepends=True)
    relation, _, name = how.rpartition(" ")
    first, last = _lines_of(content, name)
    if relation == "in place of":
        return "".join([*lines[: first - 1], text, *lines[last:]])
    assert relation == "after", how
    return "".join([*lines[:last], "\n\n", text, *lines[last:]])


def _lines_of(content: str, name: str) -> tuple[int, int]:
    """The first and last line of a definition, decorators included."""
    found: ast.Module | ast.ClassDef | ast.FunctionDef = ast.parse(content)
    for part in name.split("."):
        inner = [node for node in found.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
        found = next(node for node in inner if node.name == part)
    assert not isinstance(found, ast.Module)
    return min([found.lineno, *(each.lineno for each in found.decorator_list)]), found.end_lineno or found.lineno


def _steps(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with its output. A command goes on after a ``\\``."""
    command, expected = "", list[str]()
    for line in text.splitlines():
        if command.endswith("\\"):
            command = f"{command}\n{line.removeprefix('> ')}"
        elif line.startswith("$ "):
            if command:
                yield _without_comment(command), expected
            command, expected = line[2:], []
        elif line.strip(" …"):
            expected.append(line)
    yield _without_comment(command), expected


def _without_comment(command: str) -> str:
    return re.sub(r"\s+# .*$", "", command).strip()


def shows(output: str, expected: list[str]) -> bool:
    """Whether the expected lines are in the output, in order; the amount of white space does not matter."""
    lines = iter([_plain(line) for line in output.splitlines()])
    patterns = [".*?".join(map(re.escape, _plain(line).split("…"))) for line in expected]
    return all(any(re.fullmatch(pattern, line) for line in lines) for pattern in patterns)


def _plain(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


def came_before(page: Path) -> Path | None:
    """The page that ``page`` goes on from."""
    found = re.match(r"<!-- goes on from: (\S+) -->", page.read_text())
    return (page.parent / found[1]).resolve() if found else None


Left: TypeAlias = dict[Path, Path]
"""The folders of pages that others go on from, as they were left."""


@pytest.fixture(scope="module")
def left_behind() -> Left:
    return {}


def follow(page: Path, left: Left, tmp_path_factory: pytest.TempPathFactory, database: str = "") -> Path:
    """Follow ``page`` in a folder of its own, after the pages that it goes on from; the folder."""
    folder = tmp_path_factory.mktemp(page.stem)
    before = came_before(page)
    if before is not None:
        if before not in left:
            left[before] = follow(before, left, tmp_path_factory)
        shutil.copytree(left[before], folder, dirs_exist_ok=True)
    Reader(folder, {"~/headwater": str(ROOT), DOCUMENTED_DATABASE: database}).follow(page)
    return folder


def test_the_application_of_the_readme_runs(left_behind: Left, tmp_path_factory: pytest.TempPathFactory) -> None:
    left_behind[README] = follow(README, left_behind, tmp_path_factory)
    code = [line for line in (left_behind[README] / "shop.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 50


def test_the_tutorial_leads_to_a_working_service(left_behind: Left, tmp_path_factory: pytest.TempPathFactory) -> None:
    follow(TUTORIAL, left_behind, tmp_path_factory)


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_a_how_to_can_be_followed(
    page: Path, left_behind: Left, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgres_url") if DOCUMENTED_DATABASE in page.read_text() else ""
    follow(page, left_behind, tmp_path_factory, database)
