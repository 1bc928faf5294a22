"""``headwater init``: a package with a running example and its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.cli.console import Json, note, print_json, say


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package: lower-case letters, digits and _.")],
    folder: Annotated[Path | None, typer.Option(help="Where to make it; default: a folder of that name.")] = None,
    json: Json = False,
) -> None:
    """Make a package with a running example and its tests."""
    from headwater.scaffold import scaffold

    made = scaffold(name, folder or Path(name))
    if json:
        print_json({"name": name, "folder": str(folder or name), "files": [str(path) for path in made]})
        return
    for path in made:
        say(str(path))
    note(
        f"\nnext:\n  cd {folder or name}\n"
        "  python -m pytest\n"
        '  headwater execute OpenAccount \'{"account_id": "a-1", "owner": "Ada"}\'\n'
        "  headwater run --until-caught-up\n"
        "  headwater projection explain balances a-1"
    )
