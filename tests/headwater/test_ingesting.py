"""Ingesting through the application: what the summary says, on each database."""

from __future__ import annotations

from pathlib import Path

from headwater import App, Ingest


def test_a_summary_counts_in_integers(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    legacy = Ingest("legacy")
    legacy.ignore("public.audit")
    with App("shop", legacy, database=database_url) as app:
        (summary,) = app.ingest(tmp_path / "empty.jsonl")
    assert (type(summary.events), summary.events, summary.records) == (int, 0, 0)
