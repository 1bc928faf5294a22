"""The log and both sides of it: what is written to it, and the pipelines that read it.

- :mod:`eventstore.model`: events, commands, aggregates, and the contract of a log; knows no storage.
- :mod:`eventstore.sql`: the log in SQLite and PostgreSQL.
- :mod:`eventstore.pipeline`: sources, checkpoints, leases, dead letters.

::

    log = SqlEventLog(connect("sqlite:///shop.db"), "shop")
    log.create_topics({"order": 8})
    log.append([Append("order-o-1", [encode(OrderPaid(), "id-1")], NO_STREAM, datetime.now(UTC))])
    events = [decode(record) for record in log.read_stream("order-o-1")]

Applications import from :mod:`headwater`, which puts all of it together. Nothing is imported here, so that a program
pays for what it uses.
"""
