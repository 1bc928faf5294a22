"""The words of the log and both its sides, free of any storage: messages, records, streams, aggregates."""
