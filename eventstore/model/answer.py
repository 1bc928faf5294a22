"""Asking an aggregate: a command decided on a state, without any storage."""

from __future__ import annotations

from dataclasses import dataclass

from eventstore.errors import NoSuchStream, Rejected, StreamExists, VersionConflict
from eventstore.model.aggregate import Aggregate, apply, decide
from eventstore.model.codec import NewEvent, encode, event_id
from eventstore.model.message import Event, stamp
from eventstore.model.repository import Loaded
from eventstore.model.request import Request


@dataclass(slots=True)
class Answer:
    """What an aggregate made of a command: events, already applied to its state, or nothing, or a failure."""

    events: list[Event]
    new: list[NewEvent]
    failure: Exception | None = None

    @property
    def to_store(self) -> bool:
        return self.failure is None and bool(self.new)

    @property
    def spoiled(self) -> bool:
        """Whether the state is not as stored any more: it refused halfway, or broke down."""
        return self.failure is not None and bool(self.new or not isinstance(self.failure, (Rejected, VersionConflict)))


def ask(request: Request, loaded: Loaded[Aggregate]) -> Answer:
    """Let the aggregate decide, applying each event as it comes; encoded, so that nothing unstorable passes."""
    command, meta = stamp(request.command, request.meta), request.meta
    answer = Answer([], [])
    try:
        _check_version(request, loaded.version)
        for event in decide(loaded.state, command):
            new = encode(event, event_id(meta.id, len(answer.new)))
            answer.new.append(new)
            version = loaded.version + 1
            if hasattr(event, "_hw_meta"):  # one that was returned before, such as a constant
                event = event.model_copy()
            surrounding = meta._replace(version=version, id=new.id, causation_id=meta.id)
            apply(loaded.state, stamp(event, surrounding))
            loaded.version = version
            answer.events.append(event)
    except Exception as error:
        answer.failure = error
    return answer


def _how_to_begin(request: Request) -> str:
    """What to do where no command can begin a stream, which nobody wants."""
    if any(decider.new for decider in request.aggregate.deciders.values()):
        return ""
    return f"a command that begins a stream is declared so: @handles({type(request.command).__name__}, new=True)"


def _check_version(request: Request, version: int) -> None:
    new = request.aggregate.deciders[type(request.command)].new
    if new and version:
        raise StreamExists(
            f"{request.stream} exists already, at version {version}", f"{type(request.command).__name__} creates it"
        )
    if not new and not version:
        raise NoSuchStream(
            f"{request.stream} does not exist", f"{type(request.command).__name__} needs it to", _how_to_begin(request)
        )
    if request.expected is not None and version != request.expected:
        raise VersionConflict(request.stream, request.expected, version)
