"""What makes the rows of a projection stale."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.model.message import Event
from projections import Projection, ReadModel, fingerprint


class Happened(Event, name="fingerprint-happened"):
    key: str = "k"


class Base(ReadModel):
    __abstract__ = True
    metadata = MetaData()


class First(Base):
    __tablename__ = "fingerprint_row"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(default="x")

    def shout(self) -> str:
        return (self.text or "").upper()


class Second(ReadModel):
    __tablename__ = "fingerprint_row"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(default="y")

    def shout(self) -> str:
        return (self.text or "").upper()


class Third(ReadModel):
    __tablename__ = "fingerprint_row_too"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(default="x")

    def shout(self) -> str:
        return (self.text or "").title()


def handler(row: Any, event: Happened) -> None:
    row.text = row.shout()


def other(row: Any, event: Happened) -> None:
    row.text = row.shout() + "!"


def made(into: Any = First, function: Any = handler, version: int = 1, **options: Any) -> str:
    projection = Projection("fingerprint", into=into, version=version)
    projection.on(Happened, **options)(function)
    return fingerprint(projection)


def test_the_same_declaration_has_the_same_fingerprint() -> None:
    assert made() == made()


def test_handlers_columns_methods_keys_and_version_count() -> None:
    variants = [
        made(),
        made(function=other),
        made(version=2),
        made(into=Second),
        made(into=Third),
        made(key=lambda event: event.key),
        made(key=lambda event: event.key + "x"),
        made(where=(First.text, lambda event: event.key)),
        made(where=(First.id, lambda event: event.key)),
        made(lookup=(Third, lambda event: event.key)),
        made(lookup=(Third, lambda event: event.key + "x")),
    ]
    assert len(set(variants)) == len(variants)
