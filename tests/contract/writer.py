"""A process that appends: ``writer.py URL NAME COUNT STREAMS``; it prints the number of its appends when done."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from eventstore.sql.engine import connect
from eventstore.sql.log import SqlEventLog
from tests.contract.writing import append_many


def main(url: str, name: str, count: str, streams: str) -> None:
    engine = connect(url)
    log = SqlEventLog(engine, "bank")
    print(len(append_many(log, name, int(count), int(streams))), flush=True)
    log.wakeup.close()
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
