"""Settings, and where each came from.

In this order, the first that has a value wins: arguments of ``App(...)``, environment variables
(``HEADWATER_DATABASE``), a ``.env`` file in the current folder, ``[tool.headwater]`` in the nearest
``pyproject.toml``, the default.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from eventstore.errors import SettingError
from eventstore.secrets import without_secrets

PREFIX = "HEADWATER_"


class Settings(BaseSettings):
    """What can be set. ``Settings(...)`` reads nothing by itself; :func:`load_settings` looks everywhere."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", env_ignore_empty=True)

    app: str = Field("", description="the application, as module:attribute")
    database: str = Field("", description="URL of SQLite or PostgreSQL; default sqlite:///<app name>.db here")
    events: str = Field("database", description="where the log is kept; 'database' is the one choice in this release")
    partitions: int = Field(8, ge=1, le=1024, description="of each topic; fixed once a topic is made")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    log_format: Literal["text", "json"] = Field("text", description="how log lines look, on stderr")
    batch_size: int = Field(500, ge=1, le=100_000, description="records a transaction")
    attempts: int = Field(3, ge=1, le=100, description="how often a failing record is tried before it is parked")
    lease_seconds: float = Field(10.0, ge=1, le=3600, description="after which a silent worker is replaced")
    parked_limit: int = Field(100, ge=1, description="records parked within parked_window that pause a pipeline")
    parked_window: float = Field(60.0, gt=0, allow_inf_nan=False, description="seconds")
    blocked_limit: int = Field(10_000, ge=1, description="records waiting behind others that pause a pipeline")
    stop_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="that pipelines have to finish their batch when stopped"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Origin(NamedTuple):
    """Where a setting's value was found: ``place`` for people, ``name`` as it is written there."""

    place: str
    name: str


class Configuration(NamedTuple):
    """Settings with the origin of each that is not a default, and the folder of the project."""

    settings: Settings
    origins: Mapping[str, Origin]
    folder: Path


class _Source(NamedTuple):
    """The settings that one place has: their values, and where in it each stands."""

    values: dict[str, Any]
    origins: dict[str, Origin]


def load_settings(folder: Path | None = None) -> Configuration:
    """Read every place settings may stand in, seen from ``folder`` (default: the current one)."""
    folder = folder or Path.cwd()
    project = _project_file(folder)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for source in (_pyproject(project), _dotenv(folder / ".env"), _environment()):
        values |= source.values
        origins |= source.origins
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _invalid(error, origins) from None
    _check_events(settings, origins)
    return Configuration(settings, origins, project.parent if project else folder)


def _environment() -> _Source:
    names = {name[len(PREFIX) :].lower(): name for name in os.environ if name.upper().startswith(PREFIX)}
    for setting, name in names.items():
        _check_known(setting, Origin("environment variable", name), PREFIX)
    values = EnvSettingsSource(Settings)()
    return _Source(values, {setting: Origin("environment variable", names[setting]) for setting in values})


def _dotenv(path: Path) -> _Source:
    if not path.is_file():
        return _Source({}, {})
    try:
        lines = _lines_of(path)
        source = DotEnvSettingsSource(Settings, env_file=path, env_file_encoding="utf-8")
        values = {name: value for name, value in source().items() if name in Settings.model_fields}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path.name} cannot be read", str(error), "make it a readable UTF-8 file") from None
    for setting, (name, line) in lines.items():
        _check_known(setting, Origin(f".env, line {line}:", name), PREFIX)
    return _Source(values, {s: Origin(f".env, line {lines[s][1]}:", lines[s][0]) for s in values if s in lines})


def _lines_of(path: Path) -> dict[str, tuple[str, int]]:
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        match = re.match(rf"\s*(?:export\s+)?({PREFIX}\w+)\s*=", line, re.IGNORECASE)
        if match:
            found[match[1][len(PREFIX) :].lower()] = (match[1], number)
    return found


def _project_file(folder: Path) -> Path | None:
    candidates = (parent / "pyproject.toml" for parent in (folder, *folder.parents))
    return next((path for path in candidates if path.is_file()), None)


def _pyproject(path: Path | None) -> _Source:
    if path is None:
        return _Source({}, {})
    try:
        tools = tomllib.loads(path.read_text("utf-8")).get("tool", {})
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(f"{path} cannot be read", str(error), "mend the file: it is to be TOML") from None
    table = tools.get("headwater", {}) if isinstance(tools, dict) else tools
    if not isinstance(table, dict):
        raise SettingError(
            "[tool.headwater] in pyproject.toml is no table", f"it is {shown(table)}", '[tool.headwater]\napp = "…"'
        )
    origins = {name: Origin(f"{path.name}, [tool.headwater]:", name) for name in table}
    for name, origin in origins.items():
        _check_known(name, origin, "")
    return _Source(table, origins)


def _check_known(setting: str, origin: Origin, prefix: str) -> None:
    if setting in Settings.model_fields:
        return
    close = difflib.get_close_matches(setting, Settings.model_fields, n=1)
    written = [f"{prefix}{name.upper()}" if prefix else name for name in (*close, *Settings.model_fields)]
    raise SettingError(
        f"there is no setting {setting!r}",
        f"{origin.place} {origin.name} names it",
        f"did you mean {written[0]}?" if close else f"the settings are {', '.join(written)}",
    )


def _invalid(error: ValidationError, origins: Mapping[str, Origin]) -> SettingError:
    """The first thing that is wrong, with where it stands; secrets stay out of it."""
    first = error.errors(include_url=False)[0]
    setting = str(first["loc"][0])
    origin = origins.get(setting, Origin("argument", setting))
    return SettingError(
        f"the setting {setting} is wrong: {first['msg'][0].lower()}{first['msg'][1:]}",
        f"{origin.place} {origin.name} = {shown(first['input'])}",
        f"it is: {Settings.model_fields[setting].description}",
    )


def _check_events(settings: Settings, origins: Mapping[str, Origin]) -> None:
    if settings.events != "database":
        origin = origins.get("events", Origin("argument", "events"))
        raise SettingError(
            "this release keeps the log in the database only",
            f"{origin.place} {origin.name} = {shown(settings.events)}",
            "remove it, and set HEADWATER_DATABASE to choose the database",
        )


def shown(value: object) -> str:
    """A value as it may be printed: without the passwords in it."""
    text = str(value)
    safe = without_secrets(text)
    return repr(value) if safe == text else repr(safe)
