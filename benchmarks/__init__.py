"""headwater beside the package eventsourcing and beside the raw databases, measured in one run: ``make bench``.

Each measure gives every contender a fresh database of its own and then lets them take turns, round after round,
so that what else the machine does hits them alike; a ratio is the median of the ratios of single rounds. All
store the same data as durably (SQLite: WAL and synchronous FULL; PostgreSQL: fsync and synchronous commits) and
fold it into the same rows.

- ``ours``: :mod:`benchmarks.ours`, what an application of headwater does, by its public names, with its defaults.
- ``peer``: :mod:`benchmarks.peer`, the same with the package eventsourcing as its documentation says.
- ``raw``: :mod:`benchmarks.raw`, the least that sqlite3 or psycopg have to do, by hand and without a guard.
"""
