"""The documentation against the code: links, errors, settings, verbs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

import headwater
from eventstore import errors
from eventstore.pipeline import PipelineStatus
from headwater.cli.exit_codes import MEANINGS
from headwater.cli.main import cli
from headwater.settings import Settings
from headwater.shadow import Shadowed

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    missing = [page for page in (ROOT / "docs").rglob("*.md") if page not in linked and page != index]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_file_that_a_block_belongs_to_is_named_above_it(page: Path) -> None:
    """What stands behind the fence is not shown to readers."""
    content, read, unnamed = page.read_text(), 0, []
    for block in re.finditer(r"^```(\w+) *(\S*).*\n(?s:.*?)^```$", content, flags=re.MULTILINE):
        if block[1] != "console" and f"`{block[2]}`" not in content[read : block.start()] and block[2]:
            unnamed.append(block[2])
        read = block.end()
    assert not unnamed


def test_the_reference_of_python_names_what_applications_import() -> None:
    page = (REFERENCE / "python.md").read_text()
    calls = {name for name in dir(headwater.App) if not name.startswith("_")}
    named = set(re.findall(r"`(\w+)", page))
    assert {*headwater.__all__, *calls} - named - vars(errors).keys() == set()


def test_the_reference_of_errors_is_the_tree() -> None:
    page = (REFERENCE / "errors.md").read_text()
    rows = re.findall(r"^\| (HW-\d{3}) \| `(\w+)` \| (?:`(\w+)`)? ?\|", page, re.MULTILINE)
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.HeadwaterError)]
    # Shadowed is raised before the tree can be imported.
    assert sorted(rows) == sorted((k.code, k.__name__, _base(k)) for k in [*kinds, Shadowed])


def _base(kind: type[errors.HeadwaterError] | type[Shadowed]) -> str:
    return "" if kind is errors.HeadwaterError else kind.__bases__[0].__name__


def test_the_reference_of_settings_is_what_can_be_set() -> None:
    page = (REFERENCE / "settings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*?) \|", page, re.MULTILINE)
    fields = Settings.model_fields.items()
    assert rows == [
        (name, f"HEADWATER_{name.upper()}", f"`{field.default}`".replace("``", "")) for name, field in fields
    ]


def test_the_reference_of_the_command_line_has_every_verb_and_option() -> None:
    page = (REFERENCE / "cli.md").read_text()
    sections = re.split(r"^#+ ", page, flags=re.MULTILINE)
    documented = {}
    for section in sections:
        heading = re.match(r"`headwater ([a-z ]*[a-z])", section)
        if heading:
            documented[heading[1]] = {"--json", *re.findall(r"`(--[\w-]+)", section)}
    root = typer.main.get_command(cli)
    assert documented == {" ".join(path): options for path, options in _verbs(root, [])}


def _verbs(command: Any, path: list[str]) -> Iterator[tuple[list[str], set[str]]]:
    """Every verb with its long options."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, {name for option in command.params for name in option.opts if name.startswith("--")}
    for name, verb in (inner or {}).items():
        yield from _verbs(verb, [*path, name])


def test_the_exit_codes_are_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", (REFERENCE / "cli.md").read_text(), re.MULTILINE)
    assert rows == [(str(code.value), meaning) for code, meaning in MEANINGS.items()]


def test_the_fields_of_a_pipeline_in_json_are_documented() -> None:
    page = (REFERENCE / "cli.md").read_text()
    listed = re.search(r"A pipeline has `([\w,\s]+)`", page)
    assert listed is not None
    assert re.split(r",\s+", listed[1]) == [field.name for field in fields(PipelineStatus)]
