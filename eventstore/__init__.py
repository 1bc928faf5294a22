"""The log and both sides of it: events, aggregates and the stores that keep them, pipelines that read."""
