"""Every error headwater raises on purpose, in one tree.

Each has a stable code, says what happened, why, and what to do next::

    HeadwaterError                 HW-000
    ├── DeclarationError           HW-101  the application is declared wrongly
    ├── SettingError               HW-102  a setting is missing or wrong
    ├── CommandError               HW-200  a command was not carried out
    │   ├── Rejected               HW-201  the aggregate refused it
    │   │   ├── StreamExists       HW-202  it creates, and the stream is there already
    │   │   └── NoSuchStream       HW-203  it needs a stream that is not there
    │   ├── CommandIdReused        HW-204  its id was used for another command
    │   ├── VersionConflict        HW-205  the stream was not at the expected version
    │   └── NotStorable            HW-206  an event would not be read back equal
    ├── HandlingError              HW-300  a record could not be handled
    │   ├── Undecodable            HW-301  its bytes are not what they should be
    │   ├── IncompleteRow          HW-302  a row lacks a required column
    │   ├── UnknownTable           HW-303  a change of a table nobody declared
    │   └── Refused                HW-304  a change that may not be handled as it is
    ├── PipelineError              HW-400  a pipeline stands still
    │   ├── LeaseLost              HW-401  another worker took over
    │   ├── PositionOutsideLog     HW-402  the checkpoint is not within the log
    │   ├── StaleProjection        HW-403  the rows were folded by other logic
    │   ├── TooManyFailures        HW-404  so many records failed that the pipeline paused
    │   ├── SourceReset            HW-405  the source database is not the one read so far
    │   └── AlreadyRunning         HW-406  another process runs the pipelines
    ├── WaitError                  HW-500  waiting for a read model ended without it
    │   ├── Parked                 HW-501  the awaited record is a dead letter
    │   └── WaitTimeout            HW-502  it did not arrive in time
    ├── Unavailable                HW-600  a server or file cannot be reached or written
    └── NotFound                   HW-700  what was asked for is not there

One more is told in the same way and stands outside the tree: :class:`headwater.shadow.Shadowed`, which says that
this very package may be hidden by a module of the user's.
"""

from __future__ import annotations

import re
from typing import ClassVar


class HeadwaterError(Exception):
    """Root of the tree: ``code``, ``what`` happened, ``why``, and the ``fix`` to try."""

    code: ClassVar[str] = "HW-000"

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.what}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


def told(text: str) -> tuple[str, str, str]:
    """What, why and fix of an error that was kept as text; of any other text, all is what."""
    said, _, fix = text.partition("\n  fix: ")
    what, _, why = said.partition("\n  why: ")
    return re.sub(r"^\[HW-\d+\] ", "", what), why, fix


class DeclarationError(HeadwaterError):
    code = "HW-101"


class SettingError(HeadwaterError):
    code = "HW-102"


class CommandError(HeadwaterError):
    code = "HW-200"


class Rejected(CommandError):
    """Raised by an aggregate to refuse a command: ``raise Rejected("only a placed order can be paid")``."""

    code = "HW-201"


class StreamExists(Rejected):
    code = "HW-202"


class NoSuchStream(Rejected):
    code = "HW-203"


class CommandIdReused(CommandError):
    code = "HW-204"


class VersionConflict(CommandError):
    """``stream`` was expected at ``expected`` and stood at ``actual`` (0: it does not exist)."""

    code = "HW-205"

    def __init__(self, stream: str, expected: object, actual: int) -> None:
        super().__init__(
            f"{stream} is at version {actual}, not at {expected}",
            "somebody else appended to the stream in between",
            "load it again and decide again",
        )
        self.stream, self.expected, self.actual = stream, expected, actual


class NotStorable(CommandError):
    code = "HW-206"


class HandlingError(HeadwaterError):
    code = "HW-300"


class Undecodable(HandlingError):
    code = "HW-301"


class IncompleteRow(HandlingError):
    code = "HW-302"


class UnknownTable(HandlingError):
    code = "HW-303"


class Refused(HandlingError):
    code = "HW-304"


class PipelineError(HeadwaterError):
    code = "HW-400"


class LeaseLost(PipelineError):
    code = "HW-401"


class PositionOutsideLog(PipelineError):
    code = "HW-402"


class StaleProjection(PipelineError):
    code = "HW-403"


class TooManyFailures(PipelineError):
    code = "HW-404"


class SourceReset(PipelineError):
    code = "HW-405"


class AlreadyRunning(PipelineError):
    code = "HW-406"


class WaitError(HeadwaterError):
    code = "HW-500"


class Parked(WaitError):
    code = "HW-501"


class WaitTimeout(WaitError):
    code = "HW-502"


class Unavailable(HeadwaterError):
    code = "HW-600"


class NotFound(HeadwaterError):
    code = "HW-700"
