"""The log, snapshots and framework tables in SQL: SQLite and PostgreSQL."""
