"""What all tests share: a PostgreSQL server of their own, and a fresh database for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchmarks.servers import Cluster, postgres_binaries
from eventstore.sql.engine import connect, create_schema, writing
from eventstore.sql.schema import metadata


def _postgres_binaries() -> Path:
    """Without PostgreSQL a test is skipped; where CI is set that is a failure."""
    if found := postgres_binaries():
        return found
    why = "PostgreSQL is not installed: no initdb and postgres beside pg_config or in PATH"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def new_cluster() -> Iterator[Callable[..., Cluster]]:
    """Starts further servers, for tests that stop them or change their settings."""
    started: list[Cluster] = []

    def start(**settings: str) -> Cluster:
        cluster = Cluster(_postgres_binaries(), **settings)
        started.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in started:
        cluster.remove()


@pytest.fixture(scope="session")
def postgres_cluster(new_cluster: Callable[..., Cluster]) -> Cluster:
    """The PostgreSQL server of this run."""
    return new_cluster()


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """A fresh PostgreSQL database, dropped after the test."""
    name = postgres_cluster.new_database()
    yield postgres_cluster.url(name)
    postgres_cluster.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database, of each kind in turn."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


def create_tables(engine: Engine) -> None:
    with writing(engine) as connection:
        create_schema(connection)
        metadata.create_all(connection)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a fresh database that has the framework's tables."""
    engine = connect(database_url)
    create_tables(engine)
    yield engine
    engine.dispose()
