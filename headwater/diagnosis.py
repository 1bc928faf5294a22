"""What may be wrong with an application and its database, and how to mend it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Engine, select, text

from eventstore.errors import HeadwaterError
from eventstore.model.stream import topic_name
from eventstore.pipeline import OPEN, PipelineState, PipelineStatus
from eventstore.pipeline.lease import database_clock
from eventstore.sql import schema
from eventstore.sql.engine import connect, is_sqlite, reading, writing
from eventstore.sql.faults import available, describe
from headwater import migrate
from headwater.preparing import topics
from headwater.settings import shown

if TYPE_CHECKING:
    from headwater.app import App

FREE_BYTES = 512 * 1024 * 1024
CLOCK_SECONDS = 5.0
Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something looked at: ``about`` what, how it is, why that matters, and how to mend it."""

    about: str
    level: Level
    what: str
    why: str = ""
    fix: str = ""


def examine(app: App) -> list[Finding]:
    """Look at everything, from what others depend on upwards; what cannot be looked at ends it."""
    found = [Finding("application", "ok", f"{app.name}: {_parts(app)}"), *_settings(app)]
    for look in (_disk, _reachable, _tables, _opened):
        more = list(_guarded(look, app))
        found += more
        if any(one.level == "error" for one in more):
            return found
    for look in (_topics, _pipelines, _leases, _dead_letters):
        found += _guarded(look, app)
    return found


def _guarded(look: Callable[[App], Iterator[Finding]], app: App) -> Iterator[Finding]:
    about = look.__name__.strip("_").replace("_", " ")
    try:
        yield from look(app)
    except HeadwaterError as error:
        yield Finding(about, "error", error.what, error.why, error.fix)
    except OSError as error:
        yield Finding(about, "error", f"{error.filename} cannot be looked at", error.strerror or "", "mend its path")


def _parts(app: App) -> str:
    parts = app.parts
    counts = {"aggregate": len(parts.aggregates), "projection": len(parts.projections), "ingest": len(parts.ingests)}
    return ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items())


def _settings(app: App) -> Iterator[Finding]:
    for name, origin in sorted(app.configuration.origins.items()):
        value = shown(getattr(app.configuration.settings, name))
        yield Finding("setting", "ok", f"{name} = {value}", f"from {origin.place} {origin.name}")


# ---------------------------------------------------------------- the database


def _disk(app: App) -> Iterator[Finding]:
    engine = connect(app.database)
    if not is_sqlite(engine):
        return
    folder = Path(engine.url.database or ".").resolve().parent
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    megabytes = f"{free // 1024**2:,} MB are free on its disk"
    if free < FREE_BYTES:
        yield Finding("disk", "warning", megabytes, "appends fail when it is full", "make room")
    else:
        yield Finding("disk", "ok", megabytes)


def _reachable(app: App) -> Iterator[Finding]:
    engine = connect(app.database)
    try:
        if is_sqlite(engine) and not Path(engine.url.database or "").exists():
            yield Finding("database", "warning", f"{describe(engine)} does not exist yet", "the first use makes it")
            return
        with migrate.a_database(engine), available(engine), writing(engine) as connection:
            connection.execute(text("SELECT 1"))
            if is_sqlite(engine):  # its BEGIN IMMEDIATE says nothing of a file that cannot be written
                version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")
        yield Finding("database", "ok", f"{describe(engine)} can be reached and written")
        yield from _sqlite_file(engine) if is_sqlite(engine) else _postgres_clock(engine)
    finally:
        engine.dispose()


def _sqlite_file(engine: Engine) -> Iterator[Finding]:
    with available(engine), reading(engine) as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        broken = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if mode != "wal":
        yield Finding(
            "database",
            "error",
            f"its journal mode is {mode}, not WAL",
            "readers and the writer would lock each other out; network file systems do not support WAL",
            "keep the file on a local disk",
        )
    if broken != "ok":
        yield Finding("database", "error", "the file is damaged", str(broken), "restore it from a backup")


def _postgres_clock(engine: Engine) -> Iterator[Finding]:
    with available(engine), reading(engine) as connection:
        server = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
    apart = abs(float(server or 0) - time.time())
    if apart > CLOCK_SECONDS:
        yield Finding(
            "clock",
            "warning",
            f"this machine's clock and the database's are {apart:.0f} s apart",
            "events are stamped by this one, leases by the other",
            "keep both set by NTP",
        )


def _tables(app: App) -> Iterator[Finding]:
    engine = connect(app.database)
    try:
        if is_sqlite(engine) and not Path(engine.url.database or "").exists():
            return
        at = migrate.current(engine)
    finally:
        engine.dispose()
    if at == migrate.HEAD:
        yield Finding("tables", "ok", f"headwater's tables are at revision {at}")
    elif at is None:
        yield Finding("tables", "warning", "headwater's tables are not there yet", "the first use makes them")
    else:
        yield Finding(
            "tables",
            "warning",
            f"they are at revision {at}, this code's is {migrate.HEAD}",
            "the next use migrates them",
        )


def _opened(app: App) -> Iterator[Finding]:
    """Opening makes what is missing, as every other use would."""
    app.prepare()
    yield Finding("read models", "ok", ", ".join(sorted(app.parts.tables)) or "there are none")


# ---------------------------------------------------------------- what is in it


def _topics(app: App) -> Iterator[Finding]:
    known = {topic_name(app.name, category) for category in app.parts.categories}
    for name in sorted(topics(app.resources).keys() - known):
        of_us = name.startswith(f"{app.name}.")
        yield Finding(
            "topics",
            "warning",
            f"there is a topic {name} of {'a category' if of_us else 'an application'} that this one does not have",
            "projections do not read it" if of_us else "several applications share the database",
            "pass its aggregate or ingest to App(...)" if of_us else "",
        )


def _pipelines(app: App) -> Iterator[Finding]:
    for status in app.status():
        if status.state in (PipelineState.PAUSED, PipelineState.HALTED):
            yield Finding("pipelines", "error", f"{status.name} is {status.state}", status.reason, _resume(status))
        elif status.stale:  # only the worker would notice otherwise
            yield Finding(
                "pipelines",
                "error",
                f"{status.name} was folded by other logic than this code's",
                "its handlers, what they use, or its columns changed since",
                f"headwater projection rebuild {status.name}",
            )
        elif status.lag and not status.owner:
            records = "1 record" if status.lag == 1 else f"{status.lag:,} records"
            behind = f"{status.name} is {records} behind, and nobody runs it"
            yield Finding("pipelines", "warning", behind, "", "headwater run")
        else:
            yield Finding("pipelines", "ok", f"{status.name}: {status.state}, {status.lag:,} behind")


def _resume(status: PipelineStatus) -> str:
    if status.state is PipelineState.PAUSED:
        return f"mend the cause, then headwater dlq retry --pipeline {status.name}"
    return ""  # the reason says it


def _leases(app: App) -> Iterator[Finding]:
    """A lease whose worker no longer says that it lives keeps others waiting until it ends."""
    engine, cp, worker = app.resources.engine, schema.checkpoint.c, schema.worker.c
    now = database_clock(engine)
    alive = select(worker.worker).where(worker.seen_until > now)
    held = select(cp.pipeline, cp.owner).where(cp.owner != "", cp.lease_until > now, cp.owner.not_in(alive)).distinct()
    with available(engine), reading(engine) as connection:
        for row in connection.execute(held):
            yield Finding(
                "leases",
                "warning",
                f"{row.pipeline} is leased by {row.owner}, which does not say that it lives",
                "it may have been killed; the lease ends by itself",
                f"wait {app.configuration.settings.lease_seconds:g} s",
            )


def _dead_letters(app: App) -> Iterator[Finding]:
    named = {pipeline.name for pipeline in app.pipelines()}
    counts: dict[str, dict[str, int]] = {}
    for (pipeline, state), count in app.dead_letters.counts().items():
        if state in OPEN:
            counts.setdefault(pipeline, {})[state.value] = count
    for pipeline, states in sorted(counts.items()):
        said = ", ".join(f"{count:,} {state}" for state, count in states.items())
        orphaned = "" if pipeline in named else "this application has no such pipeline any more"
        fix = f"headwater dlq list --pipeline {pipeline}"
        yield Finding("dead letters", "error", f"{pipeline} has dead letters: {said}", orphaned, fix)
    if not counts:
        yield Finding("dead letters", "ok", "there are none")
