"""One process runs the pipelines of a SQLite file. PostgreSQL needs no such thing: leases share them."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from eventstore.errors import AlreadyRunning, Unavailable
from eventstore.sql.engine import is_sqlite

_held: dict[Path, int] = {}
_guard = threading.Lock()


def lock_path(engine: Engine) -> Path:
    """The side lock file of a SQLite database."""
    return Path(f"{engine.url.database}.lock").absolute()


@contextmanager
def exclusive(engine: Engine) -> Iterator[bool]:
    """Hold the right to run pipelines; :class:`~eventstore.errors.AlreadyRunning` when another process has it.

    Yields whether all leases of others are known to have ended (SQLite): the system frees the lock of a
    process that died, so nobody waits for its leases. Within one process it may be held several times.
    """
    if not is_sqlite(engine):
        yield False
        return
    path = lock_path(engine)
    first = _enter(path, engine)
    try:
        yield first
    finally:
        _leave(path)


_files: dict[Path, int] = {}


def _enter(path: Path, engine: Engine) -> bool:
    """Take the lock or join those of this process that have it; whether it was taken anew."""
    with _guard:
        if path in _held:
            _held[path] += 1
            return False
        try:
            _files[path] = _locked(path, engine)
        except OSError as error:
            raise Unavailable(
                f"{path} cannot be locked and written",
                error.strerror or str(error),
                "make its folder writable for this user, with room on its disk",
            ) from error
        _held[path] = 1
        return True


def _locked(path: Path, engine: Engine) -> int:
    """The descriptor of the locked file, which names this process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunning(
            f"process {owner} runs the pipelines of {Path(engine.url.database or '').name}",
            "one process at a time does so on SQLite",
            "let it do the work, end it, or use PostgreSQL, where several share it",
        ) from None
    except OSError:
        os.close(descriptor)  # else it is held, by nobody, until the process ends
        raise
    return descriptor


def _leave(path: Path) -> None:
    with _guard:
        if path not in _held:
            return  # this is a fork of the process that entered
        _held[path] -= 1
        if not _held[path]:
            del _held[path]
            os.close(_files.pop(path))


def _forget() -> None:
    """The right stays with the process that was forked: the child would keep the lock beyond its parent's end."""
    global _guard
    _guard = threading.Lock()
    for descriptor in _files.values():
        os.close(descriptor)
    _files.clear()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
