"""What a read model may be, and the twin its rows are folded on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from sqlalchemy import ARRAY, Computed, ForeignKey, String, func
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, foreign, mapped_column, relationship

from eventstore.errors import DeclarationError, IncompleteRow
from projections import Projection, ReadModel, twin


class Colour(Enum):
    RED = "red"


class Account(ReadModel):
    __tablename__ = "twin_account"
    FEE = Decimal("0.5")
    account_id: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[Decimal] = mapped_column(default=Decimal(0))
    colour: Mapped[Colour | None]
    opened_at: Mapped[datetime | None]

    def after_fee(self) -> Decimal:
        return self.balance - self.FEE

    @property
    def in_debt(self) -> bool:
        return self.balance < 0

    @hybrid_property
    def rich(self) -> bool:
        return self.balance > 1000

    @staticmethod
    def currency() -> str:
        return "EUR"


def test_a_twin_has_the_models_methods_properties_and_constants() -> None:
    row = twin(Account)()
    row.balance = Decimal(-1)
    assert (row.after_fee(), row.in_debt, row.rich, row.currency()) == (Decimal("-1.5"), True, False, "EUR")


def test_twins_are_equal_when_their_columns_are() -> None:
    made = twin(Account)
    first, second = made(), made()
    first.account_id = second.account_id = "a"
    assert first == second
    second.balance = Decimal(1)
    assert first != second


def test_reading_a_column_that_was_never_set_names_it() -> None:
    with pytest.raises(IncompleteRow, match=r"Account\.balance was read before any event set it"):
        _ = twin(Account)().balance


def test_a_misspelt_column_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        twin(Account)().balanse = 3  # type: ignore[attr-defined]


def test_times_have_a_zone_and_integers_64_bits() -> None:
    class Wide(ReadModel):
        __tablename__ = "twin_wide"
        id: Mapped[int] = mapped_column(primary_key=True)
        at: Mapped[datetime]

    assert str(Wide.__table__.c.id.type) == "BIGINT"
    row = Projection("wide", into=Wide).shape.fresh(1)
    row.at = datetime(2026, 1, 1, tzinfo=UTC)
    assert Projection("wide", into=Wide).shape.settle(row) == (1, row.at)


def _relationship() -> type[Any]:
    class TwinCustomer(ReadModel):
        __tablename__ = "twin_customer"
        id: Mapped[str] = mapped_column(primary_key=True)

    class TwinBill(ReadModel):
        __tablename__ = "twin_bill"
        id: Mapped[str] = mapped_column(primary_key=True)
        customer_id: Mapped[str]
        customer: Mapped[Any] = relationship(
            TwinCustomer, primaryjoin=lambda: foreign(TwinBill.customer_id) == TwinCustomer.id, viewonly=True
        )

    return TwinBill


def _foreign_key() -> type[Any]:
    class Pointing(ReadModel):
        __tablename__ = "twin_pointing"
        id: Mapped[str] = mapped_column(primary_key=True)
        account: Mapped[str] = mapped_column(ForeignKey("twin_account.account_id"))

    return Pointing


def _column(name: str, column: Any) -> type[Any]:
    return type(
        f"Refused_{name}",
        (ReadModel,),
        {
            "__tablename__": f"twin_refused_{name}",
            "id": mapped_column(String, primary_key=True),
            "value": column,
        },
    )


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (_relationship, "is a relationship"),
        (_foreign_key, "has a foreign key"),
        (lambda: _column("call", mapped_column(String, default=lambda: "x")), "default that is computed"),
        (lambda: _column("sql", mapped_column(String, default=func.now())), "default that is computed"),
        (lambda: _column("server", mapped_column(String, server_default="x")), "default from the database"),
        (lambda: _column("onupdate", mapped_column(String, onupdate="x")), "has an onupdate"),
        (lambda: _column("computed", mapped_column(String, Computed("id"))), "is computed by the database"),
        (lambda: _column("property", column_property(func.lower("x"))), "is computed by the database"),
        (lambda: _column("enum", mapped_column(SqlEnum(Colour, native_enum=True))), "is an enum type"),
        (lambda: _column("array", mapped_column(ARRAY(String))), "is an array"),
    ],
)
def test_what_a_fold_cannot_give_is_refused_with_what_to_do(model: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=says) as refused:
        twin(model())
    assert refused.value.fix


def test_a_model_of_another_base_is_refused() -> None:
    class Base(DeclarativeBase): ...

    class Foreign(Base):
        __tablename__ = "foreign"
        id: Mapped[str] = mapped_column(primary_key=True)

    with pytest.raises(DeclarationError, match="is no read model"):
        Projection("foreign", into=Foreign)
