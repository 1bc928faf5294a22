"""A writer that reacts to conflicts as every client does: it looks again and tries again."""

from __future__ import annotations

from eventstore.errors import VersionConflict
from eventstore.model.log import Appended, EventLog
from tests.bank import append_of


def append_many(log: EventLog, name: str, count: int, streams: int, at: dict[str, int] | None = None) -> list[Appended]:
    """Append ``count`` events in turn to a few streams that others write to; what was acknowledged.

    ``at``: the versions as last heard of, which writers of one process may share.
    """
    at = {} if at is None else at
    start = sum(name.encode())
    done: list[Appended] = []
    for n in range(count):
        stream = f"account-{(n + start) % streams}"
        while True:
            (outcome,) = log.append([append_of(stream, at.get(stream, 0), f"{name}/{n}")])
            if isinstance(outcome, VersionConflict):
                at[stream] = outcome.actual
                continue
            assert isinstance(outcome, Appended)
            at[stream] = outcome.last
            done.append(outcome)
            break
    return done
