"""Where the command ``headwater`` begins, and where every error of it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from headwater.cli import dlq, doctor, events, execute, ingest, init, projection, run, status, stream
from headwater.cli.console import write_anything
from headwater.cli.exit_codes import EPILOG, ExitCode
from headwater.cli.loading import Choice

VERBS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("init", init.init),
    ("run", run.run),
    ("status", status.status),
    ("execute", execute.execute),
    ("events", events.events),
    ("ingest", ingest.ingest),
    ("inspect", ingest.inspect),
    ("doctor", doctor.doctor),
)
GROUPS: tuple[tuple[str, typer.Typer], ...] = (
    ("stream", stream.group),
    ("projection", projection.group),
    ("dlq", dlq.group),
)

cli = typer.Typer(
    name="headwater",
    help="Event sourcing and change data capture: run an application, look into it, and mend it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"headwater {version('headwater')}")
        raise typer.Exit


@cli.callback(epilog=EPILOG)
def _options(
    context: typer.Context,
    app: Annotated[
        str, typer.Option(metavar="MODULE:NAME", help="The application; default: HEADWATER_APP or pyproject.toml.")
    ] = "",
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what goes wrong.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    context.obj = Choice(app, debug)


for _name, _verb in VERBS:
    cli.command(_name)(_verb)
for _name, _group in GROUPS:
    cli.add_typer(_group, name=_name)


def main() -> None:
    """The console script."""
    write_anything()
    code = invoke(sys.argv[1:])
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run the command line with these arguments; the exit code. Errors are printed, never raised."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        outcome = cli(args=list(arguments), prog_name="headwater", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else ExitCode.DONE
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except (Exception, SystemExit) as error:
        if isinstance(error.__context__, BrokenPipeError):  # Typer and Rich make a SystemExit of it
            return _reader_gone()
        from headwater.cli.errors import report

        return report(error, as_json=as_json, debug=debug)


def _reader_gone() -> int:
    """``headwater events | head`` ends when head does; Python must not complain about it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return 128 + signal.SIGPIPE
