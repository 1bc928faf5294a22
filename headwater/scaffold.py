"""Making a new application from the templates."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from eventstore.errors import DeclarationError
from headwater.shadow import PACKAGES

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = {*PACKAGES, "headwater", "tests"}
SUFFIX = ".template"


def scaffold(name: str, folder: Path) -> list[Path]:
    """Write a package called ``name`` and its project into ``folder``; the files made. Nothing is overwritten."""
    _check_name(name)
    planned = {folder / _filled(str(path), name): file for path, file in _templates()}
    for path in planned:
        if path.exists():
            raise DeclarationError(
                f"{path} exists already",
                "nothing is overwritten",
                "choose another name, or --folder with another folder",
            )
    for path, file in planned.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(file.read_text("utf-8"), name), "utf-8")
    return sorted(planned)


def _filled(text: str, name: str) -> str:
    """``{{name}}`` stands for the package, ``{{app}}`` for the application, whose name has ``-`` for ``_``."""
    return text.replace("{{name}}", name).replace("{{app}}", name.replace("_", "-"))


def _templates() -> list[tuple[Path, Traversable]]:
    """Every template with where it goes, its suffix taken off."""
    return sorted(_walk(files("headwater") / "templates", Path()), key=lambda found: str(found[0]))


def _walk(folder: Traversable, path: Path) -> list[tuple[Path, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, path / entry.name)
        elif entry.name.endswith(SUFFIX):
            found.append((path / entry.name.removesuffix(SUFFIX), entry))
    return found


def _check_name(name: str) -> None:
    why = ""
    if not _NAME.fullmatch(name):
        why = "a package's name has lower-case letters, digits and _, and begins with a letter"
    elif keyword.iskeyword(name):
        why = "it is a keyword of Python"
    elif name in _TAKEN or name in sys.stdlib_module_names:
        why = "a package of that name exists, and one would hide the other"
    if why:
        raise DeclarationError(f"{name!r} cannot name a package", why, "choose another: headwater init shop")
