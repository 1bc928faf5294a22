"""One module a revision, named as its number."""
