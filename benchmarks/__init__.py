"""headwater beside the package eventsourcing and beside the raw databases, measured in one run: ``make bench``."""
