"""What is said when something goes wrong, and the exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import HeadwaterError
from headwater.cli.console import console, print_json, printable
from headwater.cli.exit_codes import ExitCode
from headwater.shadow import Shadowed

_BY_CODE = {
    "HW-1": ExitCode.WRONG_SETUP,
    "HW-4": ExitCode.ATTENTION,
    "HW-5": ExitCode.ATTENTION,
    "HW-6": ExitCode.UNAVAILABLE,
}


class Said(NamedTuple):
    """An error as it is shown."""

    code: str
    what: str
    why: str
    fix: str
    exit_code: ExitCode


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Print ``error`` to stderr, as a panel or as a JSON object; the exit code."""
    said = _say(error)
    if said.code == "usage" and not said.what:
        return said.exit_code  # nothing was asked, and the help that was printed is the answer
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        document = {"code": said.code, "what": said.what, "why": said.why, "fix": said.fix}
        print_json({"error": document | {"exit_code": said.exit_code.value}}, to=sys.stderr)
    else:
        _panel(said)
    return said.exit_code


def _say(error: BaseException) -> Said:
    if isinstance(error, (HeadwaterError, Shadowed)):
        exit_code = _BY_CODE.get(error.code[:4], ExitCode.REFUSED)
        return Said(error.code, error.what, error.why, error.fix, exit_code)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _usage(error)
    if isinstance(error, SQLAlchemyError):
        from eventstore.sql.faults import is_transient

        if is_transient(error):
            why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            return Said("HW-600", "the database cannot be used now", why, "headwater doctor", ExitCode.UNAVAILABLE)
    return Said(
        "bug",
        f"something nobody foresaw: {type(error).__name__}",
        str(error).strip()[:2000] or "it does not say",
        _advice(error),
        ExitCode.BUG,
    )


def _usage(error: Any) -> Said:
    """An error of the command line's parser."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "headwater"
    usage = context.get_usage().removeprefix("Usage:").strip() if context is not None else ""
    return Said("usage", error.format_message(), usage, f"{path} --help", ExitCode.USAGE)


def _advice(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"it happened at {place}; `headwater --debug …` shows the traceback"


def _panel(said: Said) -> None:
    from rich.panel import Panel
    from rich.text import Text

    body = Text(printable(said.what), style="bold")
    why = "usage" if said.code == "usage" else "why"
    for label, text in ((why, said.why), ("what to do", said.fix)):
        if text:
            body.append(f"\n\n{label}\n", style="dim not bold")
            body.append(printable(text), style="not bold")
    printer = console(stderr=True)
    width = min(printer.width, 100)
    printer.print(Panel(body, title=said.code, title_align="left", border_style="red", width=width, padding=(0, 1)))
