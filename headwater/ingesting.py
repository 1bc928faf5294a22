"""Ingesting capture files, for real or to see what would come of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import func, select

from cdc.capture import CaptureSource
from cdc.ingest import Ingest
from eventstore.errors import NotFound
from eventstore.model.record import Position
from eventstore.pipeline import DeadLetter, LetterState, catch_up
from eventstore.sql import schema
from eventstore.sql.engine import reading
from eventstore.sql.faults import available
from headwater import pipelines
from headwater.preparing import prepare
from headwater.resources import Resources

if TYPE_CHECKING:
    from headwater.host import Host

FileProgress: TypeAlias = Callable[[Path, int, int], None]
"""Called with the file, how many of its records were read so far, and how many it has."""
SHOWN = 20


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What came of a capture file.

    ``records``: its lines; ``read``: those of them that were read now, the others were before; ``events``:
    stored in the log. ``parked`` and ``blocked``: new dead letters, of which ``letters`` holds the first.
    ``seconds``: how long it took.
    """

    file: str
    ingest: str
    records: int
    read: int
    events: int
    parked: int
    blocked: int
    seconds: float
    dry_run: bool
    letters: tuple[DeadLetter, ...] = field(default=(), repr=False)


def ingest_files(
    app: Host, files: Sequence[Path], into: str | None, dry_run: bool, progress: FileProgress | None
) -> list[IngestSummary]:
    """See :meth:`headwater.App.ingest`."""
    ingest = _chosen(app, into)
    if not dry_run:
        return [_ingest(app, app.resources, ingest, file, False, progress) for file in files]
    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        resources = Resources(app.name, f"sqlite:///{Path(folder) / 'dry-run.db'}")
        try:
            prepare(resources, app.parts, app.partitions)
            return [_ingest(app, resources, ingest, file, True, progress) for file in files]
        finally:
            resources.close()


def _chosen(app: Host, into: str | None) -> Ingest:
    ingests = app.parts.ingests
    if into is not None:
        return app.parts.ingest(into)
    if len(ingests) == 1:
        return next(iter(ingests.values()))
    if not ingests:
        raise NotFound(
            f"the application {app.name!r} has no ingest",
            "an ingest says what the tables of a capture become",
            'declare one, legacy = Ingest("legacy", topics=r"…"), and pass it to App(...)',
        )
    raise NotFound(
        "it is not clear which ingest these files are for",
        f"the application has several: {', '.join(sorted(ingests))}",
        "name one: headwater ingest FILE --into NAME, or app.ingest(file, into=…)",
    )


def _ingest(
    app: Host, resources: Resources, ingest: Ingest, file: Path, dry_run: bool, progress: FileProgress | None
) -> IngestSummary:
    with CaptureSource(file) as source:
        pipeline = pipelines.of_ingest(resources, ingest, app.configuration.settings, source)
        (partition,) = source.partitions()
        total = source.ends()[partition]
        read = 0

        def on_progress(_: str, handled: int, position: Position) -> None:
            nonlocal read
            read += handled
            if progress is not None:
                progress(file, position.get(partition, 0), total)

        events_before, last_letter = _stored(resources), _last_letter(resources)
        if progress is not None:
            progress(file, 0, total)
        started = time.monotonic()
        catch_up(resources.engine, resources.wakeup, [pipeline], on_progress=on_progress)
        letters = resources.dead_letters.list(ingest.name, after=last_letter, limit=None)
    states = [letter.state for letter in letters]
    return IngestSummary(
        file=str(file),
        ingest=ingest.name,
        records=total,
        read=read,
        events=_stored(resources) - events_before,
        parked=states.count(LetterState.PARKED),
        blocked=states.count(LetterState.BLOCKED),
        seconds=time.monotonic() - started,
        dry_run=dry_run,
        letters=tuple(letters[:SHOWN]),
    )


def _stored(resources: Resources) -> int:
    """How many events the log holds: offsets are dense."""
    with available(resources.engine), reading(resources.engine) as connection:
        return int(connection.scalar(select(func.sum(schema.head.c.next))) or 0)  # PostgreSQL sums to a numeric


def _last_letter(resources: Resources) -> int:
    with available(resources.engine), reading(resources.engine) as connection:
        return connection.scalar(select(func.max(schema.dead_letter.c.id))) or 0
