"""The headers of an event that a log keeps in columns, spelt out only when somebody looks at them.

Of most events only the class and the metadata are wanted, and both come straight from the columns: half of the
time of reading an event was spent on writing its headers and reading them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import orjson

from eventstore.errors import Undecodable
from eventstore.model.message import Meta

_CONTENT_TYPE = "application/json"
SCHEMA_URN = "urn:headwater:event:"
UNREADABLE = "hw_unreadable"
"""The header that holds what should have been others, where somebody changed them in the database."""


class StoredHeaders(Mapping[str, str]):
    """The headers of a stored event, made when first asked for; see :mod:`eventstore.model.codec`.

    ``source`` is the application; ``type`` and ``schema`` are the name of the event and the version of its data;
    ``where`` is its stream, version, time in UTC, and id; ``extra`` is the JSON of what
    :func:`eventstore.model.codec.meta_headers` made.
    """

    __slots__ = ("_extra", "_source", "_spelt", "_where", "schema", "type")

    def __init__(self, source: str, type: str, schema: int, where: tuple[str, int, datetime, str], extra: str) -> None:
        self._source, self.type, self.schema, self._where, self._extra = source, type, schema, where, extra
        self._spelt: dict[str, str] | None = None

    def meta(self) -> Meta:
        """The metadata in the headers; :class:`~eventstore.errors.Undecodable` when somebody broke them."""
        others = self._others()
        if UNREADABLE in others:
            raise Undecodable(
                f"the headers of {self._where[0]}:{self._where[1]} cannot be read",
                f"they are no JSON object: {self._extra[:200]!r}",
                "restore the column headers of hw_event from a backup, then retry",
            )
        get = others.get
        came_from = (get("ce_correlationid", ""), get("ce_causationid", ""))
        return Meta._make((*self._where, *came_from, get("ce_tenant"), get("ce_user"), get("traceparent")))

    def _headers(self) -> dict[str, str]:
        if self._spelt is None:
            stream, version, at, id = self._where
            self._spelt = {
                "ce_specversion": "1.0",
                "ce_id": id,
                "ce_type": self.type,
                "ce_source": f"/{self._source}",
                "ce_subject": stream,
                "ce_time": at.isoformat(),
                "ce_sequence": str(version),
                "ce_dataschema": f"{SCHEMA_URN}{self.type}:{self.schema}",
                "content-type": _CONTENT_TYPE,
                **self._others(),
            }
        return self._spelt

    def _others(self) -> dict[str, str]:
        try:
            found = orjson.loads(self._extra)
        except orjson.JSONDecodeError:
            found = None
        return found if type(found) is dict else {UNREADABLE: self._extra}

    def __getitem__(self, name: str) -> str:
        return self._headers()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers())

    def __len__(self) -> int:
        return len(self._headers())

    def __repr__(self) -> str:
        return repr(self._headers())
