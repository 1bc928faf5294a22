"""Fingerprints of code: what changes them, and what must not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from eventstore.model.fingerprint import fingerprint

BASE = """
import re
from decimal import Decimal
from enum import Enum

RATE = Decimal("0.19")
STATES = {"placed", "paid", "shipped", "cancelled"}
PATTERN = re.compile("a+")

class Colour(Enum):
    RED = 1

class Prices:
    FACTOR = 2
    def of(self, value):
        return value * self.FACTOR

def taxed(value):
    return value * RATE

def with_default(value, digits=2):
    return round(value, digits)

def handler(row, event):
    row.total = taxed(event.total) + Prices().of(1)
    row.known = event.status in STATES and PATTERN.match("x") and Colour.RED
    row.rounded = with_default(row.total)
    return [each for each in event.lines if each.total > RATE]
"""


@pytest.fixture
def of(tmp_path: Path) -> Callable[..., str]:
    numbers = count()

    def made(source: str, name: str = "handler") -> str:
        file = tmp_path / f"module{next(numbers)}.py"
        file.write_text(source)
        # The name stays the same, as for a module that was edited between two starts.
        spec = importlib.util.spec_from_file_location("edited", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return fingerprint(getattr(module, name))

    return made


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def handler(row, event):\n", "def handler(row, event):\n    '''What it does.'''\n"),
        ("def handler(row, event):\n", "# a remark\n\n\ndef handler(row, event):  # another\n"),
        ("def handler(row, event):\n", "def handler(row: object, event: 'object') -> list:\n"),
        ("    return value * RATE", "\n    return (\n        value * RATE\n    )"),
        ("def taxed(value):\n", "def taxed(value):\n    'Tax included.'\n"),
        ("RATE = ", "UNUSED = 1\nRATE = "),
        ('{"placed", "paid", "shipped", "cancelled"}', '{"cancelled", "shipped", "paid", "placed"}'),
        ("class Prices:\n", "class Prices:\n    '''What things cost.'''\n"),
    ],
)
def test_what_does_nothing_changes_nothing(of: Callable[..., str], old: str, new: str) -> None:
    assert old in BASE
    assert of(BASE.replace(old, new, 1)) == of(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("taxed(event.total) +", "taxed(event.total) -"),
        ("event.lines if", "event.rows if"),
        ("each.total > RATE", "each.total >= RATE"),
        ('"0.19"', '"0.190"'),
        ('"paid", ', ""),
        ('re.compile("a+")', 're.compile("a+", re.I)'),
        ("RED = 1", "RED = 2"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("return value * self.FACTOR", "return value + self.FACTOR"),
        ("return value * RATE", "return value / RATE"),
        ("digits=2", "digits=3"),
    ],
)
def test_what_does_something_changes_it(of: Callable[..., str], old: str, new: str) -> None:
    assert old in BASE
    assert of(BASE.replace(old, new, 1)) != of(BASE)


def test_two_lambdas_on_one_line_are_told_apart(of: Callable[..., str]) -> None:
    pair = "first, handler = (lambda e: e.a), (lambda e: {})"
    assert of(pair.format("e.b")) != of(pair.format("e.c"))
    assert of(pair.format("e.b"), "first") == of(pair.format("e.c"), "first")


def test_what_a_closure_holds_counts() -> None:
    def made(factor: int) -> Callable[[int], int]:
        return lambda value: value * factor

    assert fingerprint(made(2)) == fingerprint(made(2))
    assert fingerprint(made(2)) != fingerprint(made(3))


def test_functions_that_call_each_other_come_to_an_end(of: Callable[..., str]) -> None:
    source = "def handler(n):\n    return other(n - 1)\ndef other(n):\n    return handler(n) or {}\n"
    assert of(source.format(1)) == of(source.format(1))
    assert of(source.format(1)) != of(source.format(2))


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_another_process_with_another_hash_seed_finds_the_same(
    tmp_path: Path, of: Callable[..., str], seed: str
) -> None:
    (tmp_path / "edited.py").write_text(BASE)
    program = "import edited; from eventstore.model.fingerprint import fingerprint; print(fingerprint(edited.handler))"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == of(BASE)


def _compiled(source: str) -> Any:
    """A function whose source is nowhere, as one typed at a prompt."""
    space: dict[str, Any] = {"__name__": "prompt"}
    exec(compile(source, "<prompt>", "exec"), space)
    return space["handler"]


def test_without_source_the_bytecode_is_taken_and_a_docstring_is_not() -> None:
    plain = "def handler(row, event):\n    row.total = event.total + {}\n"
    told = plain.replace("\n", "\n    '''What it does.'''\n\n", 1)
    assert fingerprint(_compiled(plain.format(1))) == fingerprint(_compiled(told.format(1)))
    assert fingerprint(_compiled(plain.format(1))) != fingerprint(_compiled(plain.format(2)))
