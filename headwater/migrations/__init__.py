"""The revisions of headwater's own tables; :mod:`headwater.migrate` runs them."""
