"""Executing commands: load, decide, append; again when somebody else was faster.

Commands that arrive together are decided one after the other by one thread and appended in one transaction,
each on the outcome of those before it. An aggregate's state is kept in memory between commands; the version
check of the append shows when it is out of date, and what is refused is looked at again before it is said.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from eventstore.errors import CommandIdReused, NoSuchStream, NotFound, Rejected, StreamExists, VersionConflict
from eventstore.model.aggregate import Aggregate, apply, decide
from eventstore.model.codec import NewEvent, command_digest, decode, encode, event_id, meta_headers
from eventstore.model.group import GroupCommit
from eventstore.model.log import EXISTS, NO_STREAM, Append, Appended, EventLog, ExpectedVersion
from eventstore.model.message import Command, Event, Meta, stamp
from eventstore.model.record import Position
from eventstore.model.repository import Loaded, Repository

ATTEMPTS = 10
_log = logging.getLogger("headwater.commands")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a command: its stream, the version it is at, the events, and the position they reached.

    ``repeated``: the command's id was known, and this is what it led to the first time.
    """

    stream: str
    version: int
    events: tuple[Event, ...]
    position: Position = field(default_factory=dict)
    repeated: bool = False


@dataclass(slots=True)
class Request:
    """A command on its way: stamped with its metadata, for one stream of one aggregate.

    ``repeatable``: its id was given by the caller and may come again. ``expected``: a version the caller
    insists on; None: whatever it is by then.
    """

    command: Command
    aggregate: type[Aggregate]
    stream: str
    repeatable: bool = False
    expected: int | None = None


@dataclass(slots=True)
class _Decided:
    index: int
    request: Request
    loaded: Loaded[Aggregate]
    events: list[Event]
    append: Append


class Commands:
    """Executes commands on a log. ``cache`` is how many aggregates are kept in memory."""

    def __init__(self, log: EventLog, repository: Repository, *, cache: int = 4096) -> None:
        self._log, self._repository, self._cache_size = log, repository, cache
        self._cache: OrderedDict[str, Loaded[Aggregate]] = OrderedDict()
        self._group: GroupCommit[Request, Receipt] = GroupCommit(self._execute, "headwater-commands")

    def execute(self, request: Request) -> Receipt:
        return self._group.run(request)

    def submit(self, request: Request) -> Future[Receipt]:
        return self._group.submit(request)

    def close(self) -> None:
        self._group.close()

    # ---------------------------------------------------------------- one group, by the thread that commits

    def _execute(self, requests: Sequence[Request]) -> list[Receipt | BaseException]:
        outcomes: dict[int, Receipt | BaseException] = {}
        conflicts: dict[int, VersionConflict] = {}
        waiting = list(range(len(requests)))
        attempts = 0
        while waiting and attempts < ATTEMPTS:
            round_ = _Round(self, requests, outcomes)
            round_.decide(waiting)
            again = round_.append()
            attempts += 1 if again else 0  # what only waited for another of its stream made no attempt
            conflicts.update(again)
            waiting = sorted({*again, *round_.postponed})
        return [outcomes.get(n, conflicts.get(n)) or _lost(requests[n]) for n in range(len(requests))]

    def load(self, request: Request) -> tuple[Loaded[Aggregate], bool]:
        """The state to decide on, and whether it may be out of date."""
        cached = self._cache.pop(request.stream, None)
        if cached is not None:
            return cached, True
        if request.aggregate.deciders[type(request.command)].new:
            return Loaded(request.aggregate(), 0), True  # expected not to exist: the append will tell
        return self._repository.load(request.aggregate, request.stream), False

    def refresh(self, loaded: Loaded[Aggregate], stream: str) -> bool:
        return self._repository.refresh(loaded, stream)

    def keep(self, stream: str, loaded: Loaded[Aggregate]) -> None:
        self._cache[stream] = loaded
        self._cache.move_to_end(stream)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | VersionConflict | CommandIdReused]:
        return self._log.append(appends) if appends else []

    def first_receipt(self, request: Request) -> Receipt | None:
        """What the request's id led to before, if it is known."""
        if not request.repeatable:
            return None
        try:
            found = self._log.repeated(request.stream, event_id(request.command.meta.id, 0))
        except NotFound:
            return None
        if found is None:
            return None
        first, digest = found
        if first.stream != request.stream or digest != command_digest(request.command):
            raise CommandIdReused(
                f"the command id {request.command.meta.id!r} was used for another command",
                f"it led to version {first.first} of {first.stream}, with other data than this one's",
                "send a fresh id for a different request",
            )
        return self.receipt(first)

    def receipt(self, appended: Appended, events: Sequence[Event] = ()) -> Receipt:
        if appended.repeated:
            stored = self._log.read_stream(appended.stream, after=appended.first - 1, until=appended.last)
            events = [decode(record) for record in stored]
        return Receipt(appended.stream, appended.last, tuple(events), appended.position, appended.repeated)

    def snapshot(self, taken: list[tuple[str, Loaded[Aggregate]]]) -> None:
        try:
            self._repository.snapshot(taken)
        except Exception:  # the commands are stored; a missing snapshot costs time, nothing else
            _log.warning("could not store a snapshot of %s", [stream for stream, _ in taken], exc_info=True)


class _Round:
    """One attempt at a group: decide everybody, append all at once, sort the outcomes."""

    def __init__(
        self, commands: Commands, requests: Sequence[Request], outcomes: dict[int, Receipt | BaseException]
    ) -> None:
        self._commands, self._requests, self._outcomes = commands, requests, outcomes
        self._states: dict[str, Loaded[Aggregate]] = {}
        self._decided: list[_Decided] = []
        self._broken: set[str] = set()
        self.postponed: list[int] = []

    def decide(self, waiting: Sequence[int]) -> None:
        for index in waiting:
            request = self._requests[index]
            if request.stream in self._broken:
                self.postponed.append(index)
                continue
            try:
                self._decide(index, request)
            except BaseException as error:
                self._outcomes[index] = error

    def _decide(self, index: int, request: Request) -> None:
        """Decide one command. Its state is only good for others if it comes to an end without an error."""
        stream = request.stream
        chained = stream in self._states
        loaded, doubtful = (self._states.pop(stream), False) if chained else self._commands.load(request)
        try:
            events, new = self._ask(request, loaded)
        except Rejected as refusal:
            first = self._commands.first_receipt(request)
            if first is not None:
                self._answer(index, request, loaded, chained, first)
                return
            if not self._looked_again(index, request, loaded, doubtful, chained):
                raise refusal
            return
        except BaseException:
            self._spoil(stream, chained)
            raise
        if not new:
            first = self._commands.first_receipt(request)
            if first is None and self._looked_again(index, request, loaded, doubtful, chained):
                return
            receipt = first or Receipt(stream, loaded.version, ())
            self._answer(index, request, loaded, chained, receipt)
            return
        self._states[stream] = loaded
        before = loaded.version - len(new)
        append = Append(
            stream,
            new,
            _expected(request, before, chained),
            request.command.meta.at,
            meta_headers(request.command.meta._replace(causation_id=request.command.meta.id)),
            command_digest(request.command) if request.repeatable else "",
            chained,
        )
        self._decided.append(_Decided(index, request, loaded, events, append))

    def _ask(self, request: Request, loaded: Loaded[Aggregate]) -> tuple[list[Event], list[NewEvent]]:
        """Let the aggregate decide, applying each event as it comes; encoded, so that nothing unstorable passes."""
        command, meta = request.command, request.command.meta
        new_stream = request.aggregate.deciders[type(command)].new
        if new_stream and loaded.version:
            raise StreamExists(f"{request.stream} exists already", f"it is at version {loaded.version}")
        if not new_stream and not loaded.version:
            raise NoSuchStream(f"{request.stream} does not exist", f"{type(command).__name__} needs it to")
        if request.expected is not None and loaded.version != request.expected:
            raise _Unexpected(f"{request.stream} is at version {loaded.version}, not at {request.expected}")
        events: list[Event] = []
        new: list[NewEvent] = []
        for event in decide(loaded.state, command):
            new.append(encode(event, event_id(meta.id, len(new))))
            stamp(event, _event_meta(meta, request.stream, loaded.version + 1, new[-1].id))
            apply(loaded.state, event)
            loaded.version += 1
            events.append(event)
        return events, new

    def _looked_again(
        self, index: int, request: Request, loaded: Loaded[Aggregate], doubtful: bool, chained: bool
    ) -> bool:
        """A refusal by a state that may be out of date does not count: refresh it and decide in the next round."""
        stream = request.stream
        if doubtful:
            fresh = self._commands.load_fresh(request)
            if fresh.version != loaded.version:
                self._commands.keep(stream, fresh)
                self._commands.certain.add(index)
                self.postponed.append(index)
                self._broken.add(stream)
                return True
        return False
