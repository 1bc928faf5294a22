"""What the exit code says to a script."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    REFUSED = 1
    USAGE = 2
    WRONG_SETUP = 3
    UNAVAILABLE = 4
    ATTENTION = 5
    BUG = 70
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "refused, or not found",
    ExitCode.USAGE: "the command line was used wrongly",
    ExitCode.WRONG_SETUP: "the application or a setting is wrong",
    ExitCode.UNAVAILABLE: "the database or a file cannot be used",
    ExitCode.ATTENTION: "somebody should look: dead letters, or a pipeline that stands still",
    ExitCode.BUG: "something nobody foresaw",
    ExitCode.INTERRUPTED: "interrupted",
}
EPILOG = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
