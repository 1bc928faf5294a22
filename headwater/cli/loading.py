"""Finding the application that the command line is to work on."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from headwater.app import App
    from headwater.settings import Configuration


_SURROGATES = re.compile("[\ud800-\udfff]")
_LARGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Choice:
    """What was said before the verb."""

    app: str = ""
    debug: bool = False


@contextmanager
def opened(context: typer.Context) -> Iterator[App]:
    """The application, closed at the end."""
    _check_values(context)
    app = load(context)
    with app:
        yield app


def _check_values(context: typer.Context) -> None:
    """Refuse what no database takes: bytes that are no text, but for names of files, and numbers beyond 64 bits."""
    for name, value in context.params.items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(each, str) and name != "files" and _SURROGATES.search(each):
                raise typer.BadParameter(f"{each!r} is no text in UTF-8", ctx=context, param_hint=name)
            if isinstance(each, int) and not -_LARGEST <= each < _LARGEST:
                raise typer.BadParameter(f"{each} is beyond what a database counts", ctx=context, param_hint=name)


def load(context: typer.Context) -> App:
    """Import the application that ``--app``, the environment or pyproject.toml names."""
    from headwater import shadow
    from headwater.logs import configure
    from headwater.settings import load_settings

    configuration = load_settings()
    configure(configuration.settings)
    for folder in (str(configuration.folder), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    shadow.check_all()
    app = import_app(_name(context.obj.app, configuration), _origin(context.obj.app, configuration))
    app.configuration = configuration
    return app


def _name(option: str, configuration: Configuration) -> str:
    from eventstore.errors import SettingError

    name = option or configuration.settings.app
    if not name:
        raise SettingError(
            "no application is named",
            "neither --app, nor HEADWATER_APP (also in a file .env in this folder), nor [tool.headwater] in a "
            "pyproject.toml here or above says which",
            "run headwater in the application's folder; or write HEADWATER_APP=shop:app, which is app in shop.py, into "
            ".env there; or begin one: headwater init shop",
        )
    return name


def _origin(option: str, configuration: Configuration) -> str:
    if option:
        return "option --app"
    origin = configuration.origins["app"]
    return f"{origin.place} {origin.name}"


def import_app(name: str, origin: str) -> App:
    """The application at ``module:attribute``; a wrong name is explained with the ``origin`` it came from."""
    from eventstore.errors import SettingError
    from headwater.app import App

    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute.isidentifier():
        raise SettingError(
            f"{name!r} names no application", f"{origin} says so", "write module:attribute, for example shop.app:app"
        )
    module = _import(module_name, origin)
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        apps = sorted(key for key, value in vars(module).items() if isinstance(value, App))
        why = "it is not there" if found is None else f"it is a {type(found).__name__}, not an App"
        raise SettingError(
            f"{module_name} has no application {attribute!r}",
            f"{why}; {origin} names it",
            f"did you mean {module_name}:{apps[0]}?" if apps else f'write {attribute} = App("…", …) in {module_name}',
        )
    return found


def _import(name: str, origin: str) -> object:
    from eventstore.errors import HeadwaterError, SettingError
    from headwater.shadow import Shadowed

    try:
        return importlib.import_module(name)
    except (HeadwaterError, Shadowed):
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise SettingError(
                f"there is no module {error.name!r}",
                f"{origin} names {name}, and it was looked for in {Path.cwd()} and where Python looks",
                "run headwater in the folder that holds it, or mend the setting",
            ) from None
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> Exception:
    from eventstore.errors import DeclarationError

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}" if len(frames) > 1 else name
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    return DeclarationError(
        f"the application's module {name} cannot be imported",
        f"{type(error).__name__}: {error}\nat {place}",
        "mend it; `headwater --debug …` shows the traceback",
    )
