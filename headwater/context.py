"""What a caller may say about a command or about events, beside their data."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict


class Context(TypedDict, total=False):
    """Keyword arguments shared by :meth:`App.execute <headwater.App.execute>`, ``submit`` and ``append``.

    ``id``: the same id again is carried out once, and gives the first receipt (default: a random one).
    ``at``: the time that the domain sees, with a zone (default: now). ``correlation_id`` (default: the id),
    ``causation_id``, ``tenant``, ``user`` and ``traceparent`` are carried to the events.
    """

    id: str | None
    at: datetime | None
    correlation_id: str | None
    causation_id: str | None
    tenant: str | None
    user: str | None
    traceparent: str | None
