"""What an application opens on its database: opened together, closed together."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from eventstore.model.commands import Commands
from eventstore.model.repository import Repository
from eventstore.pipeline import DeadLetters, Waits
from eventstore.sql.engine import connect
from eventstore.sql.log import SqlEventLog
from eventstore.sql.snapshots import SqlSnapshots
from eventstore.sql.wakeup import Wakeup

READERS = 4


class Resources:
    """Engine, log, commands and all else that works on one database. Connections are made when needed.

    They belong to the process that made them: after a fork the child :meth:`abandon`\\ s its copy.
    """

    def __init__(self, app: str, database: str) -> None:
        self.engine = connect(database)
        self.wakeup = Wakeup(self.engine)
        self.log = SqlEventLog(self.engine, app, self.wakeup)
        self.repository = Repository(self.log, SqlSnapshots(self.engine, app))
        self.commands = Commands(self.log, self.repository)
        self.waits = Waits(self.engine)
        self.dead_letters = DeadLetters(self.engine, self.wakeup)
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="headwater-read")
        self._process = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether another process opened this, and ours is a fork of it."""
        return self._process != os.getpid()

    def abandon(self) -> None:
        """Forget the connections without closing them: they are the parent's."""
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Finish what was submitted, then close everything."""
        self.commands.close()
        self.waits.close()
        self.readers.shutdown(wait=True)
        self.wakeup.close()
        self.engine.dispose()
