"""The reading half: source → handler → one SQL transaction a batch."""
