"""Telling those of this process who wait that a pipeline has come further."""

from __future__ import annotations

import threading
import weakref

from sqlalchemy import Engine


class Progress:
    """Counts committed batches; ``wait`` returns when there was one since a count."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def notify(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.count != seen, timeout)


_of_engine: weakref.WeakKeyDictionary[Engine, Progress] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def progress_of(engine: Engine) -> Progress:
    """The one of a database: whoever runs pipelines on it and whoever waits for them share it."""
    with _making:
        return _of_engine.setdefault(engine, Progress())
