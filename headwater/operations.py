"""The half of an application that runs: pipelines, ingests, dead letters, and how they stand."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventstore.model.record import Record
from eventstore.pipeline import (
    DeadLetter,
    DeadLetters,
    OnProgress,
    Pipeline,
    PipelineStatus,
    Worker,
    catch_up,
    rebuild,
    statuses,
)
from eventstore.sql.engine import reading
from eventstore.sql.faults import available
from headwater import pipelines
from headwater.finishing import finish
from headwater.guard import outside_transaction
from headwater.host import Host
from headwater.ingesting import FileProgress, IngestSummary, ingest_files
from headwater.parts import AnyProjection
from projections import Explanation, Projection, explain


class Operations(Host):
    """What is done with the pipelines of an application."""

    def pipelines(self, *projections: AnyProjection | str) -> list[Pipeline]:
        """The pipelines of these projections, or of these names; without any, all, those of ingests included."""
        chosen = [self.parts.pipeline_name(projection) for projection in projections]
        return pipelines.build(self.resources, self.parts, self.configuration.settings, chosen)

    @contextmanager
    def running(self, on_progress: OnProgress | None = None) -> Iterator[Worker]:
        """Run every pipeline in threads for as long as the block lasts: in a web service, or a test."""
        resources = self.resources
        worker = Worker(resources.engine, resources.wakeup, self.pipelines(), on_progress=on_progress)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(self.configuration.settings.stop_seconds)

    def run(self, stop: threading.Event | None = None, on_progress: OnProgress | None = None) -> None:
        """Run every pipeline until ``stop`` is set."""
        stop = stop or threading.Event()
        with self.running(on_progress):
            stop.wait()

    def catch_up(
        self,
        *projections: AnyProjection | str,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Run pipelines in this thread until nothing is left. :class:`PipelineError` when one stands still."""
        outside_transaction("catch_up")
        resources = self.resources
        catch_up(
            resources.engine, resources.wakeup, self.pipelines(*projections), on_progress=on_progress, timeout=timeout
        )

    def rebuild(self, projection: AnyProjection | str, on_progress: OnProgress | None = None) -> None:
        """Empty a read model and fold it anew from the beginning of the log; returns when it has caught up.

        Its dead letters go, and come again if they still fail.
        """
        outside_transaction("rebuild")
        resources = self.resources
        (pipeline,) = self.pipelines(projection)
        rebuild(resources.engine, resources.wakeup, pipeline)
        finish(resources, [pipeline], on_progress)

    def ingest(
        self,
        *files: str | Path,
        into: str | None = None,
        dry_run: bool = False,
        progress: FileProgress | None = None,
    ) -> list[IngestSummary]:
        """Ingest capture files, one after the other, and say what came of each.

        ``into`` names the ingest; needed only where the application has several. ``dry_run``: as if into an
        empty database, and nothing is kept. ``progress(file, records so far, records in it)``.
        """
        outside_transaction("ingest")
        return ingest_files(self, [Path(file) for file in files], into, dry_run, progress)

    def explain(self, projection: Projection[Any] | str, key: object) -> Explanation:
        """How a row came to be: every event that touched it, with the columns it changed."""
        found = self.parts.fold(projection)
        resources = self.resources
        with available(resources.engine), reading(resources.engine) as connection:
            return explain(found, key, resources.log.source(self.parts.read_by(found)), connection, resources.log)

    def status(self) -> list[PipelineStatus]:
        """Where every pipeline stands."""
        return statuses(self.resources.engine, self.pipelines())

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be handled, and what to do with it."""
        return self.resources.dead_letters

    def collapse(self, key: str, *, pipeline: str | None = None) -> DeadLetter:
        """Let the newest dead letter of a key stand for those before it, and retry it. :class:`Refused`."""
        handlers = {each.name: each.handler for each in self.pipelines()}

        def whole(name: str, record: Record) -> bool:
            return name in handlers and handlers[name].whole(record)

        return self.dead_letters.collapse(key, whole, pipeline=pipeline)

    def work_off(self, names: Sequence[str]) -> None:
        """Return when these pipelines have worked off the dead letters that are due: here, or where they run."""
        outside_transaction("work_off")
        finish(self.resources, self.pipelines(*names), None)
