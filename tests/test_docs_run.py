"""Runs what the documentation tells people to run.

A block ```` ```python shop.py ```` is a file to write; ``… in place of Order.pay`` replaces a definition in it,
``… after Order`` and ``… at the top`` add to it. In a ```` ```console ```` block every ``$ `` line is a command,
and the lines below it are output that must appear, in order; ``…`` stands for anything. ``exit=1`` says how the
last command ends; one that ends with ``&`` goes on until the page ends. Blocks of other kinds are for reading.
A page whose first line is ``<!-- goes on from: PAGE -->`` is followed in the folder that PAGE leaves behind.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

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


class Python:
    """Runs Python programs quickly: see ``forked.py``."""

    def __init__(self) -> None:
        command = [sys.executable, str(ROOT / "tests" / "forked.py")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )

    def run(self, argv: list[str], folder: Path, environment: Mapping[str, str], output: Path) -> tuple[int, str]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        wanted = {"argv": argv, "folder": str(folder), "environment": dict(environment), "output": str(output)}
        self._server.stdin.write(json.dumps(wanted) + "\n")
        return int(self._server.stdout.readline()), output.read_text()

    def close(self) -> None:
        """End it; the end of its input is what it waits for, unless a command hangs."""
        try:
            self._server.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.communicate()


class Reader:
    """Somebody who follows a page in ``folder``. ``instead``: what is written as something else here."""

    def __init__(self, python: Python, folder: Path, instead: Mapping[str, str]) -> None:
        self._python, self._folder, self._instead = python, folder, instead
        self._output = folder.parent / f"{folder.name}.output"
        self._background: list[subprocess.Popen[bytes]] = []
        self._environment = {
            name: v for name, v in os.environ.items() if not name.startswith(("HEADWATER_", "PYTEST_"))
        }
        self._environment |= {"COLUMNS": "140", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
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
        command = self._here(command)
        if re.match(r"(headwater|python) [^|;&<>$*]*$", command):
            self._output.unlink(missing_ok=True)
            return self._python.run(shlex.split(command), self._folder, self._environment, self._output)
        done = subprocess.run(
            ["bash", "-c", command],
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


class Library:
    """Follows pages, each once, in folders of their own, and keeps what they leave behind."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders, self._left, self._python = folders, dict[Path, Path](), Python()

    def follow(self, page: Path, database: str = "") -> Path:
        """Follow ``page``, after the pages that it goes on from; the folder."""
        if page not in self._left:
            folder = self._folders.mktemp(page.stem)
            before = came_before(page)
            if before is not None:
                shutil.copytree(self.follow(before), folder, dirs_exist_ok=True)
            instead = {"~/headwater": str(ROOT), DOCUMENTED_DATABASE: database}
            Reader(self._python, folder, instead).follow(page)
            self._left[page] = folder
        return self._left[page]

    def close(self) -> None:
        self._python.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    library = Library(tmp_path_factory)
    yield library
    library.close()


def test_the_application_of_the_readme_runs(library: Library) -> None:
    folder = library.follow(README)
    code = [line for line in (folder / "shop.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 50


def test_the_tutorial_leads_to_a_working_service(library: Library) -> None:
    library.follow(TUTORIAL)


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_a_how_to_can_be_followed(page: Path, library: Library, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("postgres_url") if DOCUMENTED_DATABASE in page.read_text() else ""
    library.follow(page, database)
