"""Names that are given on the command line, checked before anything is looked up by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from headwater.app import App


def check_stream(name: str) -> str:
    """The name of a stream; what cannot be one is a wrong use of the command line."""
    from eventstore.errors import DeclarationError
    from eventstore.model.stream import split_stream

    try:
        split_stream(name)
    except DeclarationError as error:
        raise typer.BadParameter(f"{error.what}: {error.why}, for example order-o-1") from None
    return name


def check_categories(app: App, categories: Sequence[str]) -> list[str]:
    """These categories, or all of the application; :class:`~eventstore.errors.NotFound` for one it does not have."""
    from eventstore.errors import NotFound

    known = app.parts.categories
    for category in categories:
        if category not in known:
            raise NotFound(f"there is no category {category!r}", f"this application has {', '.join(known) or 'none'}")
    return list(categories) or known
