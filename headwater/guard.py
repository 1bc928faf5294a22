"""What may not be done inside one's own transaction: it would wait for itself, and nobody could tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from eventstore.errors import DeclarationError

_inside: ContextVar[bool] = ContextVar("headwater_transaction", default=False)


@contextmanager
def inside_transaction() -> Iterator[None]:
    """Marks the caller's thread (or task) as being in a transaction of the application."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def outside_transaction(call: str) -> None:
    """Refuse ``call`` within ``with app.transaction()``."""
    if _inside.get():
        raise DeclarationError(
            f"{call} was called inside `with app.transaction()`",
            "it works in a transaction of its own, which would wait for a lock that this one holds",
            f"call {call} after the block, or store the events with app.append(…, connection=connection)",
        )
