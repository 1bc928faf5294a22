"""The reading half of the log: sources, pipelines, checkpoints, dead letters.

A pipeline takes batches from a source, gives them to a handler, and commits what the handler computed
together with its position, in one SQL transaction::

    pipeline = Pipeline("order-summary", log.source(["order"]), handler)
    catch_up(engine, wakeup, [pipeline])                # in this thread, until nothing is left
    with Worker(engine, wakeup, [pipeline]): ...        # in threads, until the block ends
    DeadLetters(engine, wakeup).retry(pipeline="order-summary")
"""

from eventstore.pipeline.deadletter import DeadLetter
from eventstore.pipeline.exclusive import exclusive
from eventstore.pipeline.handler import Handler, Item, Work
from eventstore.pipeline.operator import DeadLetters, Retry
from eventstore.pipeline.options import OnProgress, Options, Pipeline
from eventstore.pipeline.rebuild import rebuild
from eventstore.pipeline.states import CLOSED, OPEN, LetterState, PipelineState
from eventstore.pipeline.status import PipelineStatus, statuses
from eventstore.pipeline.waits import Waits
from eventstore.pipeline.worker import Worker, catch_up

__all__ = [
    "CLOSED",
    "OPEN",
    "DeadLetter",
    "DeadLetters",
    "Handler",
    "Item",
    "LetterState",
    "OnProgress",
    "Options",
    "Pipeline",
    "PipelineState",
    "PipelineStatus",
    "Retry",
    "Waits",
    "Work",
    "Worker",
    "catch_up",
    "exclusive",
    "rebuild",
    "statuses",
]
