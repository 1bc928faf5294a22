"""Executing commands: load, decide, append; again when somebody else was faster.

Commands that arrive together are decided one after the other by one thread and appended in one call, those of
one stream each on the outcome of the one before. An aggregate's state is kept in memory between commands: the
version check of the append shows when it was out of date, and what such a state refuses is decided again on a
fresh one before it is said.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from eventstore.errors import (
    CommandError,
    CommandIdReused,
    NotFound,
    Unavailable,
    VersionConflict,
)
from eventstore.model.aggregate import Aggregate
from eventstore.model.answer import Answer, ask
from eventstore.model.codec import decode, event_id, meta_headers
from eventstore.model.group import GroupCommit
from eventstore.model.log import Append, Appended, EventLog, Outcome
from eventstore.model.message import Event
from eventstore.model.repository import Loaded, Repository
from eventstore.model.request import Receipt, Request

ATTEMPTS = 10


class Commands:
    """Executes commands on a log. ``cache`` is how many aggregates are kept in memory."""

    def __init__(self, log: EventLog, repository: Repository, *, cache: int = 4096) -> None:
        self.log, self.repository, self._limit = log, repository, cache
        self._cache: OrderedDict[str, Loaded[Aggregate]] = OrderedDict()
        self._group: GroupCommit[Request, Receipt] = GroupCommit(self._execute, "headwater-commands")

    def execute(self, request: Request) -> Receipt:
        """Carry out ``request`` and return what became of it.

        Raises what the aggregate raised (:class:`~eventstore.errors.Rejected` for a refusal),
        :class:`~eventstore.errors.VersionConflict` when the stream is not at the version the caller expects
        or others kept being faster, :class:`~eventstore.errors.CommandIdReused`,
        :class:`~eventstore.errors.NotStorable`, :class:`~eventstore.errors.Unavailable`.
        """
        return self._group.run(request)

    def submit(self, request: Request) -> Future[Receipt]:
        """The same, without waiting. What one thread submits for one stream is carried out in that order."""
        return self._group.submit(request)

    def close(self) -> None:
        """Carry out what was submitted, and take nothing more."""
        self._group.close()

    def take(self, stream: str) -> Loaded[Aggregate] | None:
        """The state kept in memory; whoever takes it puts it back once it is known to be stored."""
        return self._cache.pop(stream, None)

    def keep(self, stream: str, loaded: Loaded[Aggregate]) -> None:
        self._cache[stream] = loaded
        if len(self._cache) > self._limit:
            self._cache.popitem(last=False)

    def _execute(self, requests: Sequence[Request]) -> list[Receipt | BaseException]:
        """Rounds of deciding and appending, until each request has its outcome. One thread at a time."""
        outcomes: dict[int, Receipt | BaseException] = {}
        conflicts = [0] * len(requests)
        contended: dict[str, Loaded[Aggregate]] = {}
        waiting: Sequence[int] = range(len(requests))
        while waiting:
            round_ = _Round(self, requests, contended)
            for n in waiting:
                round_.decide(n)
            round_.append()
            outcomes |= round_.outcomes
            for n, conflict in round_.conflicts.items():
                conflicts[n] += 1
                contended.setdefault(requests[n].stream, Loaded(requests[n].aggregate(), 0))
                if conflicts[n] == ATTEMPTS:
                    outcomes[n] = conflict
            waiting = [n for n in waiting if n not in outcomes]
        return [outcomes[n] for n in range(len(requests))]


@dataclass(slots=True)
class _Chain:
    """A stream in a round: its state after what was decided so far, and what that rests on.

    ``doubtful``: the state may be older than the log. ``rests_on``: the last of its appends, by index; as
    long as there is none, the state is as loaded.
    """

    loaded: Loaded[Aggregate]
    doubtful: bool
    began_at: int
    rests_on: int | None = None


class _Round:
    """One attempt at a group: decide each, append all at once, sort out what became of them.

    What is in neither ``outcomes`` nor ``conflicts`` afterwards waits for the next round. ``contended``: streams
    that others append to just now, with their state as last read.
    """

    def __init__(
        self, commands: Commands, requests: Sequence[Request], contended: dict[str, Loaded[Aggregate]]
    ) -> None:
        self._commands, self._requests, self._contended = commands, requests, contended
        self._log, self._repository = commands.log, commands.repository
        self._chains: dict[str, _Chain] = {}
        self._halted: set[str] = set()
        self._ids: set[str] = set()
        self._appends: list[Append] = []
        self._decided: list[tuple[int, list[Event]]] = []
        self._resting: list[tuple[int, int, Receipt | BaseException]] = []
        self.outcomes: dict[int, Receipt | BaseException] = {}
        self.conflicts: dict[int, VersionConflict] = {}

    # ---------------------------------------------------------------- deciding

    def decide(self, n: int) -> None:
        """Decide request ``n`` on the outcome of those of its stream before it."""
        request = self._requests[n]
        if request.stream in self._halted or request.meta.id in self._ids:
            self._halted.add(request.stream)  # in the next round: its order in the stream, or its id's first receipt
            return
        try:
            self._decide(n, request)
        except Exception as error:
            self._drop(request.stream)
            self.outcomes[n] = error

    def _decide(self, n: int, request: Request) -> None:
        chain = self._chains.get(request.stream) or self._begin(request)
        answer = ask(request, chain.loaded)
        if chain.doubtful and not answer.to_store and self._refresh(request, chain, answer):
            answer = ask(request, chain.loaded)
        if answer.to_store:
            self._add(n, request, chain, answer)
            return
        if answer.spoiled:
            self._drop(request.stream)
        outcome: Receipt | BaseException = answer.failure or Receipt(request.stream, chain.loaded.version)
        if request.digest and (first := self._first_receipt(request)) is not None:
            outcome = first
        if chain.rests_on is None:
            self.outcomes[n] = outcome
        else:
            self._resting.append((n, chain.rests_on, outcome))

    def _begin(self, request: Request) -> _Chain:
        loaded = self._commands.take(request.stream)
        doubtful = True
        if request.stream in self._contended:
            loaded, doubtful = self._read_on(request), False
        elif loaded is None and request.aggregate.deciders[type(request.command)].new:
            loaded = Loaded(request.aggregate(), 0)  # most likely so, and the append will tell
        elif loaded is None:
            loaded, doubtful = self._repository.load(request.aggregate, request.stream), False
        chain = self._chains[request.stream] = _Chain(loaded, doubtful, loaded.version)
        return chain

    def _read_on(self, request: Request) -> Loaded[Aggregate]:
        """A copy of the newest state, read on from where it was read last: against others, every query counts."""
        read = self._contended[request.stream]
        if read.version == 0:
            read = self._contended[request.stream] = self._repository.load(request.aggregate, request.stream)
        else:
            self._repository.refresh(read, request.stream)
        return Loaded(read.state.model_copy(deep=True), read.version)

    def _refresh(self, request: Request, chain: _Chain, answer: Answer) -> bool:
        """Bring a doubtful state up to date; whether there is reason to decide again."""
        if answer.spoiled or chain.loaded.version == 0:
            chain.loaded = self._repository.load(request.aggregate, request.stream)
            changed = True
        else:
            changed = self._repository.refresh(chain.loaded, request.stream)
        chain.doubtful, chain.began_at = False, chain.loaded.version
        return changed

    def _add(self, n: int, request: Request, chain: _Chain, answer: Answer) -> None:
        meta = request.meta
        append = Append(
            request.stream,
            answer.new,
            chain.loaded.version - len(answer.new),
            meta.at,
            meta_headers(meta._replace(causation_id=meta.id)),
            request.digest,
            chained=chain.rests_on is not None,
        )
        chain.rests_on, chain.doubtful = len(self._appends), False
        self._appends.append(append)
        self._decided.append((n, answer.events))
        if request.digest:
            self._ids.add(meta.id)

    def _drop(self, stream: str) -> None:
        """Its state in memory is of no use. With appends of it under way, the next can only be decided after them."""
        chain = self._chains.pop(stream, None)
        if chain is not None and chain.rests_on is not None:
            self._halted.add(stream)

    def _first_receipt(self, request: Request) -> Receipt | None:
        """What the request's id led to before, if it is known."""
        try:
            found = self._log.repeated(request.stream, event_id(request.meta.id, 0))
        except NotFound:
            return None
        if found is None:
            return None
        first, digest = found
        if first.stream != request.stream or digest not in ("", request.digest):
            raise CommandIdReused(
                f"the command id {request.meta.id!r} was used for another command",
                f"it led to version {first.first} of {first.stream}, with other data than this one's",
                "send a fresh id for a different request",
            )
        return self._repeated(first)

    # ---------------------------------------------------------------- appending

    def append(self) -> None:
        """Store what was decided, and say of each request what became of it."""
        results = self._store() if self._appends else []
        stored = [isinstance(result, Appended) and not result.repeated for result in results]
        for (n, events), result in zip(self._decided, results, strict=True):
            self._settle(n, events, result)
        for n, append, outcome in self._resting:
            if stored[append]:
                self.outcomes[n] = outcome
            elif isinstance(failure := results[append], Exception) and not isinstance(failure, CommandError):
                self.outcomes[n] = failure
        whole = {s: c for s, c in self._chains.items() if c.rests_on is None or stored[c.rests_on]}
        for stream, chain in whole.items():
            self._commands.keep(stream, chain.loaded)
        self._snapshot(whole)

    def _store(self) -> Sequence[Outcome | Exception]:
        try:
            return self._log.append(self._appends)
        except Exception as error:
            streams = dict.fromkeys(append.stream for append in self._appends)
            if len(streams) == 1 or isinstance(error, Unavailable):
                return [error] * len(self._appends)
        return self._store_apart(streams)

    def _store_apart(self, streams: Iterable[str]) -> Sequence[Outcome | Exception]:
        """Something about one of the streams is at fault, and the others are not to suffer for it."""
        results: dict[int, Outcome | Exception] = {}
        for stream in streams:
            places = [n for n, append in enumerate(self._appends) if append.stream == stream]
            try:
                results.update(zip(places, self._log.append([self._appends[n] for n in places]), strict=True))
            except Exception as error:
                results.update(dict.fromkeys(places, error))
        return [results[n] for n in range(len(self._appends))]

    def _settle(self, n: int, events: list[Event], result: Outcome | Exception) -> None:
        if isinstance(result, VersionConflict):
            self.conflicts[n] = result
        elif isinstance(result, Exception):
            self.outcomes[n] = result
        elif result.repeated:
            try:
                self.outcomes[n] = self._repeated(result)
            except Exception as error:
                self.outcomes[n] = error
        else:
            self.outcomes[n] = Receipt(result.stream, result.last, tuple(events), result.position)

    def _repeated(self, first: Appended) -> Receipt:
        stored = self._log.read_stream(first.stream, after=first.first - 1, until=first.last)
        return Receipt(first.stream, first.last, tuple(map(decode, stored)), first.position, repeated=True)

    def _snapshot(self, chains: dict[str, _Chain]) -> None:
        due = [(stream, chain.loaded) for stream, chain in chains.items() if _snapshot_due(chain)]
        if due:
            self._repository.snapshot(due)


def _snapshot_due(chain: _Chain) -> bool:
    every = type(chain.loaded.state).snapshot_every
    return bool(every) and chain.began_at // every != chain.loaded.version // every
