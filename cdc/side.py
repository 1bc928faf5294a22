"""Messages that are no changes: those that Debezium writes beside them, and those it did not write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["heartbeat", "transaction", "notification", "schema change"]

_HEARTBEAT = {"ts_ms"}
_TRANSACTION, _TRANSACTION_ALL = {"status", "id"}, {"status", "id", "event_count", "data_collections", "ts_ms"}
_NOTIFICATION = {"id", "aggregate_type", "type"}
_NOTIFICATION_ALL = _NOTIFICATION | {"additional_data", "timestamp"}
_SCHEMA_CHANGE = {"source", "tableChanges"}
_FLATTENED = {"__op", "__deleted", "__lsn", "__table", "__source_ts_ms"}


def side_kind(payload: Any) -> Kind | None:
    """What a payload without ``op`` is, judged by the members it has; None: nothing that Debezium writes."""
    if type(payload) is not dict:
        return None
    names = payload.keys()
    if names == _HEARTBEAT:
        return "heartbeat"
    if names >= _TRANSACTION and names <= _TRANSACTION_ALL and payload["status"] in ("BEGIN", "END"):
        return "transaction"
    if names >= _NOTIFICATION and names <= _NOTIFICATION_ALL:
        return "notification"
    return "schema change" if names >= _SCHEMA_CHANGE else None


class Foreign(ValueError):
    """A message that another tool, or a transform, made: ``fix`` says what to do about it."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def foreign(topic: str, headers: Mapping[str, str], payload: Any) -> Foreign:
    """Why a payload without ``op`` is no change, as well as can be guessed."""
    if topic.startswith("outbox.") or ("id" in headers and (type(payload) is not dict or "payload" in payload)):
        return Foreign(
            "it has no op: it looks like a row of an outbox table, made by Debezium's EventRouter",
            "let the ingest's topics leave out the outbox topics, or remove the EventRouter from the connector",
        )
    if type(payload) is not dict:
        return Foreign(
            f"a change is a JSON object, and this is a {type(payload).__name__}",
            "let the ingest's topics name Debezium's topics only",
        )
    if "specversion" in payload:
        return Foreign(
            "it is a CloudEvent, made by Debezium's CloudEventsConverter",
            "let the connector write with org.apache.kafka.connect.json.JsonConverter",
        )
    if payload.keys() & _FLATTENED or not payload.keys() & {"before", "after", "source"}:
        return Foreign(
            "it has no op: it looks like a row flattened by Debezium's ExtractNewRecordState (unwrap)",
            "remove that transform from the connector: a flattened delete has neither position nor row",
        )
    return Foreign("it has no op", "look at its bytes with `headwater dlq show`: something changed the message")
