"""The calls for asyncio: many callers, no thread for each, and a loop that goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Mapped, mapped_column

from headwater import (
    Aggregate,
    App,
    Command,
    DeclarationError,
    Event,
    NoSuchStream,
    Projection,
    ReadModel,
    WaitTimeout,
    applies,
    handles,
)


class Rung(Event): ...


class Hang(Command):
    bell_id: str


class Ring(Command):
    bell_id: str


class Bell(Aggregate, category="bell"):
    times: int = 0

    @handles(Hang, new=True)
    def hang(self, command: Hang) -> Event:
        return Rung()

    @handles(Ring)
    def ring(self, command: Ring) -> Event:
        return Rung()

    @applies(Rung)
    def rung(self, event: Rung) -> None:
        self.times += 1


class BellRow(ReadModel):
    __tablename__ = "aio_bell"
    bell_id: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[int] = mapped_column(default=0)


bells = Projection("bells", into=BellRow)


@bells.on(Rung)
def counted(row: BellRow, event: Rung) -> None:
    row.times += 1


@pytest.fixture
def app(database_url: str) -> Iterator[App]:
    with App("tower", Bell, bells, database=database_url) as app:
        yield app


def test_execute_and_get(app: App) -> None:
    async def main() -> BellRow | None:
        receipt = await app.aio.execute(Hang(bell_id="b"), wait=bells, timeout=10)
        return await app.aio.get(bells, "b", after=receipt, timeout=10)

    with app.running():
        row = asyncio.run(main())
    assert row is not None
    assert row.times == 1


def test_state_and_events(app: App) -> None:
    async def main() -> tuple[int, list[Event]]:
        await app.aio.execute(Hang(bell_id="b"))
        await app.aio.execute(Ring(bell_id="b"))
        return (await app.aio.state(Bell, "b")).times, await app.aio.events("bell-b")

    assert asyncio.run(main()) == (2, [Rung(), Rung()])


def test_a_refusal_is_raised(app: App) -> None:
    with pytest.raises(NoSuchStream):
        asyncio.run(app.aio.execute(Ring(bell_id="b")))


def test_many_waiting_callers_take_no_threads(app: App) -> None:
    async def main() -> int:
        calls = [asyncio.ensure_future(app.aio.execute(Hang(bell_id=f"b-{n}"), wait=bells)) for n in range(200)]
        most = 0
        while not all(call.done() for call in calls):
            most = max(most, threading.active_count())
            await asyncio.sleep(0.001)
        assert {(await call).version for call in calls} == {1}
        return most

    with app.running():
        assert asyncio.run(main()) < 25


def test_the_loop_goes_on_while_a_caller_waits(app: App) -> None:
    async def main() -> int:
        waiting = asyncio.ensure_future(app.aio.execute(Hang(bell_id="b"), wait=bells, timeout=0.5))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
        with pytest.raises(WaitTimeout):
            await waiting
        return turns

    assert asyncio.run(main()) > 50


def test_a_transaction_forbids_it_too(app: App) -> None:
    async def main() -> None:
        with app.transaction():
            await app.aio.execute(Hang(bell_id="b"))

    with pytest.raises(DeclarationError, match="inside `with app"):
        asyncio.run(main())
