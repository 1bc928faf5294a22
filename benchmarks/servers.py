"""A PostgreSQL server of one's own, for the tests and the benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

START_SECONDS = 30
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "wal_level": "logical",
    "log_min_messages": "fatal",
    "autovacuum_naptime": "10min",
}


class Cluster:
    """A PostgreSQL server in a folder of its own, listening on 127.0.0.1 only. It can be stopped and started."""

    def __init__(self, binaries: Path, **settings: str) -> None:
        self._binaries, self._settings = binaries, {**SETTINGS, **settings}
        self._folder = Path(tempfile.mkdtemp(prefix="headwater-postgres-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        # The server refuses to run as root.
        self._as: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._as |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
        made = subprocess.run(
            [binaries / "initdb", *options, self._data], **self._as, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, outside every pool."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            answer = connection.execute(statement)
            return answer.fetchall() if answer.description else []

    def start(self) -> None:
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), "-k", self._folder, *options],
                **self._as,
                stdout=log,
                stderr=log,
            )
        self._await_ready()

    def _await_ready(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                ended = self._server is None or self._server.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """End the server as an operator's restart does: every connection is cut."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            try:
                self._server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._server.send_signal(signal.SIGQUIT)
                self._server.wait(timeout=10)
            self._server = None

    def new_database(self) -> str:
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def postgres_binaries() -> Path | None:
    """The folder of initdb and postgres: beside pg_config, where Debian puts them, or in PATH."""
    candidates = []
    if config := shutil.which("pg_config"):
        shown = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(shown.stdout.strip()))
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        candidates.append(Path(found).parent)
    fitting = (folder for folder in candidates if (folder / "initdb").exists() and (folder / "postgres").exists())
    return next(fitting, None)
