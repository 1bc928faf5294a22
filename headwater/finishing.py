"""Seeing to it that pipelines do what there is to do: here, or where they run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from eventstore.errors import AlreadyRunning, PipelineError
from eventstore.model.record import Position, reached
from eventstore.pipeline import OnProgress, Pipeline, PipelineState, PipelineStatus, catch_up, statuses
from headwater.resources import Resources

LOOK_SECONDS = 0.1


def finish(resources: Resources, pipelines: Sequence[Pipeline], on_progress: OnProgress | None) -> None:
    """Return when ``pipelines`` have handled all that there is now: run them here, or wait for whoever does.

    Raises the :class:`~eventstore.errors.PipelineError` of one that stands still, and
    :class:`~eventstore.errors.AlreadyRunning` when another process keeps us from it and does not do it either.
    """
    ends = {pipeline.name: dict(pipeline.source.ends()) if pipeline.source else {} for pipeline in pipelines}
    busy: AlreadyRunning | None = None
    try:
        catch_up(resources.engine, resources.wakeup, pipelines, on_progress=on_progress)
    except AlreadyRunning as error:
        busy = error
    patience = max((pipeline.options.lease_seconds for pipeline in pipelines), default=0.0)
    _Watch(ends, on_progress, busy, patience).until_done(resources, pipelines)


class _Watch:
    """Follows pipelines that run elsewhere. ``patience``: seconds without any progress after which it gives up."""

    def __init__(
        self,
        ends: Mapping[str, Position],
        on_progress: OnProgress | None,
        busy: AlreadyRunning | None,
        patience: float,
    ) -> None:
        self._ends, self._on_progress, self._busy, self._patience = ends, on_progress, busy, patience
        self._seen: dict[str, tuple[int, int]] = {}
        self._moved_at = time.monotonic()

    def until_done(self, resources: Resources, pipelines: Sequence[Pipeline]) -> None:
        while True:
            woken = resources.wakeup.count
            standing = statuses(resources.engine, pipelines)
            for status in standing:
                _check(status)
                self._follow(status)
            if all(not status.ready and reached(status.position, self._ends[status.name]) for status in standing):
                return
            if time.monotonic() - self._moved_at > self._patience:
                raise self._busy or _stuck(standing)
            resources.wakeup.wait(woken, LOOK_SECONDS)

    def _follow(self, status: PipelineStatus) -> None:
        now = (sum(status.position.values()), status.parked + status.blocked + status.due)
        before = self._seen.setdefault(status.name, now)
        if now == before:
            return
        self._seen[status.name], self._moved_at = now, time.monotonic()
        if self._on_progress is not None and now[0] > before[0]:
            self._on_progress(status.name, now[0] - before[0], status.position)


def _check(status: PipelineStatus) -> None:
    if status.state in (PipelineState.PAUSED, PipelineState.HALTED):
        raise PipelineError(f"{status.name} stands still ({status.state})", status.reason, "headwater doctor says more")


def _stuck(standing: Sequence[PipelineStatus]) -> PipelineError:
    names = ", ".join(status.name for status in standing)
    return PipelineError(
        f"{names} did not get on", "another worker holds the lease and does nothing", "headwater doctor says more"
    )
