"""A tour of the sample application. Nothing here is part of it."""
