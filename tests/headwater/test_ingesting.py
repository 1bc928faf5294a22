"""Ingesting through the application: what the summary says, on each database."""

from __future__ import annotations

import os
from pathlib import Path

from headwater import App, Ingest


def test_a_summary_counts_in_integers(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    legacy = Ingest("legacy")
    legacy.ignore("public.audit")
    with App("shop", legacy, database=database_url) as app:
        (summary,) = app.ingest(tmp_path / "empty.jsonl")
    assert (type(summary.events), summary.events, summary.records) == (int, 0, 0)


def test_a_file_whose_name_is_no_text_is_ingested(database_url: str, tmp_path: Path) -> None:
    capture = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    capture.write_text("no message\n")
    legacy = Ingest("legacy")
    legacy.ignore("public.audit")
    with App("shop", legacy, database=database_url) as app:
        (summary,) = app.ingest(capture)
        (letter,) = app.dead_letters.list()
    assert (summary.read, summary.parked) == (1, 1)
    assert letter.record.topic.startswith(r"capture:caf\udce9.jsonl:")
