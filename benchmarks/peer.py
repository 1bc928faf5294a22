"""The package eventsourcing: an application, and a projection into a table.

It is set up as its documentation says: no compression, no cipher, no snapshots, one row for tracking, statements
prepared. Its database functions for PostgreSQL (off unless asked for) stay off: they leave out the lock that
keeps readers from passing over events that commit late, and a reader does miss some then.

Where its recorders have no subscriptions (SQLite) the projection pulls from the recorder and is woken by every save.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import InfrastructureFactory, Recording, Tracking, TrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.utils import Environment

from benchmarks.contender import (
    CUSTOMER,
    EVENTS_OF_AN_ORDER,
    NOTE,
    ORDERS_OF_A_GROUP,
    PRICE,
    QUANTITY,
    SKU,
    Database,
)
from benchmarks.peer_views import SummaryView, view_class

PULL = 500
LOOK_SECONDS = 0.001


class Order(Aggregate):
    @event("Placed")
    def __init__(self, number: int, customer_id: int, note: str) -> None:
        self.customer_id = customer_id
        self.lines = 0
        self.total = 0

    @staticmethod
    def create_id(number: int) -> UUID:
        return uuid5(NAMESPACE_URL, f"/orders/{number}")

    @event("ItemAdded")
    def add_item(self, customer_id: int, sku: str, quantity: int, price: int, note: str) -> None:
        self.lines += 1
        self.total += quantity * price


class Orders(Application[UUID]):
    name = "orders"


class Summary(Projection[Any]):
    """Counts lines and sums up totals, each with the tracking of its event."""

    name = "summary"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register
    def placed(self, domain_event: Order.Placed, tracking: Tracking) -> None:  # type: ignore[name-defined]
        self.view.placed(tracking, domain_event.originator_id.hex, domain_event.customer_id)

    @process_event.register
    def item_added(self, domain_event: Order.ItemAdded, tracking: Tracking) -> None:  # type: ignore[name-defined]
        amount = domain_event.quantity * domain_event.price
        self.view.item_added(tracking, domain_event.originator_id.hex, amount)


def _place(number: int) -> Order:
    return Order(number=number, customer_id=CUSTOMER, note=NOTE)


def _add(order: Order) -> None:
    order.add_item(customer_id=CUSTOMER, sku=SKU, quantity=QUANTITY, price=PRICE, note=NOTE)


class Peer:
    """Implements :class:`~benchmarks.contender.Contender` with an application of the package eventsourcing."""

    def __init__(self, database: Database) -> None:
        self._kind, self._env = database.kind, _environment(database)
        self._app = Orders(self._env)
        self._view = self._make_view()
        self._saved = threading.Event()
        self._numbers = count(1_000_000)
        self._seen: Order | None = None

    def _make_view(self) -> SummaryView:
        factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(Environment("summary", self._env))
        view: SummaryView = factory.tracking_recorder(view_class(self._kind))
        return view

    def saver(self, order: int) -> Callable[[], object]:
        kept = _place(order)
        self._app.save(kept)

        def save() -> None:
            _add(kept)
            self._app.save(kept)

        return save

    def fill(self, first: int, orders: int, events: int) -> None:
        kept = [_place(first + n) for n in range(orders)]
        for _ in range(events - 1):
            if orders > 1:
                self._app.save(*kept)
            for order in kept:
                _add(order)
        self._app.save(*kept)

    def load(self, order: int) -> int:
        loaded: Order = self._app.repository.get(Order.create_id(order))
        return loaded.lines

    def rebuild(self, seconds: float) -> float:
        self._view.clear()
        stored = self._app.recorder.max_notification_id() or 0
        began = time.perf_counter()
        with self.running():
            while not (done := self.projected()) or (done < stored and time.perf_counter() < began + seconds):
                time.sleep(LOOK_SECONDS)
            return done / (time.perf_counter() - began)

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._kind == "sqlite":
            with _Puller(self._app, Summary(view=self._view), self._saved):
                yield
            return
        runner: ProjectionRunner[Orders, TrackingRecorder] = ProjectionRunner(
            application_class=Orders, projection_class=Summary, view_class=view_class(self._kind), env=self._env
        )
        with runner:
            yield
        runner.view.datastore.close()  # type: ignore[attr-defined]

    def append_group(self) -> None:
        orders = [_place(next(self._numbers)) for _ in range(ORDERS_OF_A_GROUP)]
        for order in orders:
            for _ in range(EVENTS_OF_AN_ORDER - 1):
                _add(order)
        self._save(*orders)

    def projected(self) -> int:
        return self._view.max_tracking_id(self._app.name) or 0

    def save_and_see(self) -> None:
        if self._seen is None:
            self._seen = _place(next(self._numbers))
            self._see(self._save(self._seen))
        _add(self._seen)
        self._see(self._save(self._seen))

    def _save(self, *orders: Order) -> Sequence[Recording[UUID]]:
        recordings = self._app.save(*orders)
        self._saved.set()
        return recordings

    def _see(self, recordings: Sequence[Recording[UUID]]) -> None:
        """Looking often: the runner's own wait begins with a pause of 100 ms."""
        while not self._view.has_tracking_id(self._app.name, recordings[-1].notification.id):
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        self._app.close()
        self._view.datastore.close()


class _Puller:
    """Runs a projection on a recorder without subscriptions, in a thread."""

    def __init__(self, app: Orders, projection: Summary, saved: threading.Event) -> None:
        self._app, self._projection, self._saved = app, projection, saved
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="peer-projection")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._saved.set()
        self._thread.join()

    def _run(self) -> None:
        done = self._projection.view.max_tracking_id(self._app.name)
        while not self._stopping:
            self._saved.clear()
            while found := self._app.recorder.select_notifications(done, PULL, inclusive_of_start=False):
                for notification in found:
                    if self._stopping:
                        return
                    done = notification.id
                    stored = self._app.mapper.to_domain_event(notification)
                    self._projection.process_event(stored, Tracking(self._app.name, done))
            self._saved.wait()


def _environment(database: Database) -> dict[str, str]:
    if database.kind == "sqlite":
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": database.url.removeprefix("sqlite:///"),
        }
    address = urlsplit(database.url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": address.path.removeprefix("/"),
        "POSTGRES_HOST": str(address.hostname),
        "POSTGRES_PORT": str(address.port),
        "POSTGRES_USER": str(address.username),
        "POSTGRES_PASSWORD": "not asked for",
    }
