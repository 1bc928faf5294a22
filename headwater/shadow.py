"""Notices a user's own ``projections.py`` (``cdc.py``, ``eventstore/`` …) that hides a package of headwater."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGES = ("eventstore", "projections", "cdc")
_HOME = Path(__file__).resolve().parent.parent


class Shadowed(ImportError):
    """A module of the user's hides a package of headwater. Has code, what, why, fix as the other errors."""

    code = "HW-103"

    def __init__(self, package: str, hidden_by: Path) -> None:
        self.what = f"{hidden_by} hides headwater's package {package!r}"
        self.why = f"Python finds it first when headwater imports {package}"
        self.fix = (
            f"rename it, or move it into a package of your own (myapp/{package}.py, imported as myapp.{package}); "
            "`headwater init NAME` makes such a package"
        )
        super().__init__(f"[{self.code}] {self.what}\n  why: {self.why}\n  fix: {self.fix}")


def check(package: str) -> None:
    """Raise :class:`Shadowed` when ``package`` is found elsewhere than beside headwater."""
    found = location(package)
    if found is not None and found.parent.parent != _HOME:
        raise Shadowed(package, found if found.name != "__init__.py" else found.parent)


def location(package: str) -> Path | None:
    """The file that importing ``package`` would load, or has loaded."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module in the midst of being imported may have no spec
        return None
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve()
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]).resolve() / "__init__.py" if folders else None


def check_all() -> None:
    for package in PACKAGES:
        check(package)
