"""Lines of a ``.jsonl`` or ``.jsonl.gz`` file, one after the other, in bounded memory."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from eventstore.errors import NotFound, PipelineError, Unavailable

MAX_LINE_BYTES = 128 * 1024 * 1024
_KEPT_BYTES = 64 * 1024
_CHUNK = 1024 * 1024
_GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """``number`` counts from 1, empty lines too. ``cut``: it was longer than allowed, this is its beginning."""

    number: int
    data: bytes
    cut: bool = False


class LineReader:
    """Reads the lines that are not empty. Close it.

    A missing file is :class:`NotFound`, one that cannot be read :class:`Unavailable`, and one whose
    compression breaks off :class:`PipelineError`, after every line before the break.
    """

    def __init__(self, path: Path, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._path, self._max = path, max_line_bytes
        self._number = 0
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise Unavailable(  # a pipe may block for ever, and has what was read of it no more
                    f"{path} cannot be read",
                    "it is a pipe or a device, and captures are read more than once",
                    "write it to a file first",
                )
            self._raw: BinaryIO = path.open("rb")
        except FileNotFoundError:
            raise NotFound(f"there is no file {path}", "", "check the path") from None
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            self._file = self._open()
        except BaseException:
            self._raw.close()
            raise

    def _open(self) -> BinaryIO | gzip.GzipFile:
        try:
            start = self._raw.read(len(_GZIP))
            self._raw.seek(0)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if start == _GZIP:
            return gzip.GzipFile(fileobj=self._raw)
        if self._path.suffix == ".gz":
            raise PipelineError(
                f"{self._path} is not compressed by gzip",
                "it is empty" if not start else f"it begins with {start.hex()} instead of 1f8b",
                "give it a name without .gz if it is plain text, or get the file again",
            )
        return self._raw

    def read(self) -> Line | None:
        """The next line that is not empty; None at the end."""
        while True:
            data = self._readline(self._max + 1)
            if not data:
                return None
            self._number += 1
            if len(data) > self._max and not data.endswith(b"\n"):
                self._skip_rest()
                return Line(self._number, data[:_KEPT_BYTES], True)
            data = data.strip()
            if data:
                return Line(self._number, data)

    def skip(self, lines: int) -> int:
        """Pass over so many lines that are not empty; how many there were."""
        skipped = 0
        while skipped < lines and self._pass_line():
            skipped += 1
        return skipped

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def _pass_line(self) -> bool:
        while True:
            data = self._readline(_CHUNK)
            if not data:
                return False
            self._number += 1
            filled = bool(data.strip())
            while not data.endswith(b"\n") and (data := self._readline(_CHUNK)):
                filled = filled or bool(data.strip())
            if filled:
                return True

    def _skip_rest(self) -> None:
        while (data := self._readline(_CHUNK)) and not data.endswith(b"\n"):
            pass

    def _readline(self, limit: int) -> bytes:
        try:
            return self._file.readline(limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise PipelineError(
                f"{self._path} breaks off in line {self._number + 1}",
                f"its compression is damaged: {error}",
                "get the file again; what came before that line is kept, and reading goes on there",
            ) from error
        except OSError as error:
            raise _unreadable(self._path, error) from error


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} cannot be read", error.strerror or str(error), "make it a file that this user may read")
