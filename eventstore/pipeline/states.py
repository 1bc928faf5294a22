"""The states of a dead letter and of a pipeline, and the moves between them."""

from __future__ import annotations

from enum import StrEnum


class LetterState(StrEnum):
    """What became of a record that could not be handled.

    ::

        (failed) ──► PARKED ──retry──► DUE ──► RESOLVED
                       ▲ └─discard, collapse    │ fails again
                       └────────────────────────┘
        (waits)  ──► BLOCKED ──► RESOLVED | PARKED        when nothing of its key is before it any more
    """

    PARKED = "parked"
    """It failed for good; an operator decides."""
    BLOCKED = "blocked"
    """It did not fail: it waits behind one of its key."""
    DUE = "due"
    """To be tried again by whoever holds the lease."""
    RESOLVED = "resolved"
    """It was handled after all."""
    DISCARDED = "discarded"
    """An operator decided that it is not to be handled, and said why."""
    SUPERSEDED = "superseded"
    """A newer change of its key carries the whole row."""


OPEN = (LetterState.PARKED, LetterState.BLOCKED, LetterState.DUE)
CLOSED = (LetterState.RESOLVED, LetterState.DISCARDED, LetterState.SUPERSEDED)

_LETTER_MOVES: dict[LetterState, frozenset[LetterState]] = {
    LetterState.PARKED: frozenset({LetterState.DUE, LetterState.DISCARDED, LetterState.SUPERSEDED}),
    LetterState.BLOCKED: frozenset({LetterState.PARKED, *CLOSED}),
    LetterState.DUE: frozenset({LetterState.PARKED, *CLOSED}),
}


def may_move(state: LetterState, to: LetterState) -> bool:
    """Whether a dead letter in ``state`` may go to ``to``. What is closed stays closed."""
    return to in _LETTER_MOVES.get(state, frozenset())


class PipelineState(StrEnum):
    """What a pipeline does, as its leaseholder last said."""

    NEW = "new"
    """Nobody ran it yet."""
    RUNNING = "running"
    """Its leaseholder handles what comes."""
    RETRYING = "retrying"
    """Something it needs is away; it tries again for as long as it takes."""
    PAUSED = "paused"
    """Too many records failed; an operator resumes it."""
    HALTED = "halted"
    """It cannot go on as things are: other logic, a position outside the log, another source database."""
    STOPPED = "stopped"
    """Its leaseholder ended in order, or its lease did without it."""
