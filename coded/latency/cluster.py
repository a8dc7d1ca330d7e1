"""Servers with first-come-first-served queues, driven from event to event."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from coded.latency.service_times import ServiceTime, SlowFast

_BLOCK = 4096  # draws at a time: one call of numpy a draw would take most of the time

Event = tuple[float, int, Callable[[], None]]


class Policy:
    """What happens to a request and when; a policy overrides what it needs."""

    def require_servers(self, n_servers: int) -> None:
        """Refuse too few servers: ValueError."""

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Send copies of a request that has just arrived."""
        raise NotImplementedError

    def started(self, cluster: Cluster, copy: Copy) -> None:
        """Act when a server begins a copy."""

    def answered(self, cluster: Cluster, copy: Copy) -> None:
        """Act when a server has finished a copy."""

    def complete(self, cluster: Cluster, request: Request) -> None:
        """Act when a request has the answers it needs."""
        cluster.cancel(request.copies)

    def idle(self, cluster: Cluster, server: int) -> None:
        """Act when a server has nothing to do."""


class State(Enum):
    """Where a copy is."""

    QUEUED = auto()
    RUNNING = auto()
    ANSWERED = auto()
    CANCELLED = auto()


@dataclass(slots=True, eq=False)
class Request:
    """A request: it needs `needed` answers, each of which is 1 / needed of its work."""

    index: int
    arrival: float
    needed: int = 1
    answers: int = 0
    client: int = 0
    copies: list[Copy] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether it has the answers it needs."""
        return self.answers >= self.needed


@dataclass(slots=True, eq=False)
class Copy:
    """One copy of a request (or one coded part of its work) at one server."""

    request: Request
    server: int
    sent: float
    state: State = State.QUEUED
    began: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class View:
    """What a client knows of a server: its own requests there, and moving averages of answers."""

    outstanding: int = 0
    answers: int = 0
    response: float = 0.0
    service: float = 0.0
    queue: float = 0.0


class Cluster:
    """All servers at one moment, and the events to come.

    Attributes
    ----------
    now : float
        Seconds since the first request.
    running : list of Copy or None
        What each server works on.
    finished : list of int
        Copies that each server has finished.
    busy : float
        Seconds that all servers together have worked.
    sent : int
        Copies sent so far.
    latencies : list of float
        Seconds of each request, nan until it is complete.
    views : mapping
        What each (client, server) knows, kept by policies that choose by it.
    backlog : deque of Request
        Requests that no server has yet, kept by policies that hold them back.
    """

    def __init__(
        self,
        policy: Policy,
        service: ServiceTime,
        n_servers: int,
        *,
        services: np.random.Generator,
        choices: np.random.Generator,
    ) -> None:
        """Begin with idle servers at time 0."""
        self.n_servers = n_servers
        self.now = 0.0
        self.running: list[Copy | None] = [None] * n_servers
        self.finished = [0] * n_servers
        self.busy = 0.0
        self.sent = 0
        self.latencies: list[float] = []
        self.views: dict[tuple[int, int], View] = defaultdict(View)
        self.backlog: deque[Request] = deque()
        self._policy = policy
        self._queues: list[deque[Copy]] = [deque() for _ in range(n_servers)]
        self._events: list[Event] = []
        self._order = count()  # of events at the same moment
        self._uniforms = _stream(choices.random)
        self._seconds = _drawer(service, n_servers, services)

    def run(self, arrivals: Sequence[float]) -> None:
        """Let requests arrive at these times, ascending, and go on until nothing is left to do."""
        self.latencies = [np.nan] * len(arrivals)
        requests = (Request(i, at) for i, at in enumerate(arrivals))
        self._await(requests)
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()

    def send(self, request: Request, servers: Collection[int]) -> None:
        """Queue a copy at each of these servers; all are queued before any begins."""
        for server in servers:
            copy = Copy(request, server, self.now)
            request.copies.append(copy)
            self._queues[server].append(copy)
        self.sent += len(servers)
        for server in servers:
            self._advance(server)

    def cancel(self, copies: Collection[Copy], *, after: float = 0.0) -> None:
        """Take back the copies that wait or run `after` so many seconds; inf never does."""
        if after > 0.0:
            if after < np.inf:
                self.after(after, partial(self.cancel, copies))
            return
        freed = []
        for copy in copies:
            if copy.state is State.RUNNING:
                self.busy += self.now - copy.began
                self.running[copy.server] = None
                freed.append(copy.server)
            if copy.state is not State.ANSWERED:
                copy.state = State.CANCELLED
        for server in freed:
            self._advance(server)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Act when so many seconds have gone by."""
        self._at(self.now + seconds, act)

    def count_waiting(self, server: int) -> int:
        """Count the copies that wait at a server."""
        return sum(copy.state is State.QUEUED for copy in self._queues[server])

    def pick(self, n: int) -> int:
        """Draw one of ``0 ... n - 1``."""
        return int(next(self._uniforms) * n)

    def pick_servers(self, n: int, *, but: Collection[int] = ()) -> list[int]:
        """Draw n different servers in random order, none of `but`."""
        if n + len(but) > self.n_servers // 2:  # else few draws meet a server that is taken
            free = [server for server in range(self.n_servers) if server not in but]
            return [free.pop(self.pick(len(free))) for _ in range(n)]
        servers: list[int] = []
        while len(servers) < n:
            server = self.pick(self.n_servers)
            if server not in servers and server not in but:
                servers.append(server)
        return servers

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), act))

    def _await(self, requests: Iterator[Request]) -> None:
        """Wait for the next request, if there is one."""
        request = next(requests, None)
        if request is not None:
            self._at(request.arrival, partial(self._arrive, request, requests))

    def _arrive(self, request: Request, requests: Iterator[Request]) -> None:
        self._await(requests)
        self._policy.arrived(self, request)

    def _advance(self, server: int) -> None:
        """Begin the next copy that waits at a free server."""
        if self.running[server] is not None:
            return
        queue = self._queues[server]
        while queue:
            copy = queue.popleft()
            if copy.state is State.QUEUED:
                self._begin(copy)
                return
        self._policy.idle(self, server)

    def _begin(self, copy: Copy) -> None:
        copy.state = State.RUNNING
        copy.began = self.now
        copy.seconds = self._seconds(copy.server, self.now) / copy.request.needed
        self.running[copy.server] = copy
        self.after(copy.seconds, partial(self._finish, copy))
        self._policy.started(self, copy)

    def _finish(self, copy: Copy) -> None:
        if copy.state is not State.RUNNING:
            return
        request = copy.request
        copy.state = State.ANSWERED
        self.running[copy.server] = None
        self.finished[copy.server] += 1
        self.busy += copy.seconds
        request.answers += 1
        self._policy.answered(self, copy)
        if request.answers == request.needed:
            self.latencies[request.index] = self.now - request.arrival
            self._policy.complete(self, request)
        self._advance(copy.server)


def _stream(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    """Draw numbers in blocks, give them one by one."""
    while True:
        yield from draw(_BLOCK).tolist()


def _drawer(
    service: ServiceTime, n_servers: int, rng: np.random.Generator
) -> Callable[[int, float], float]:
    """Give the function that draws the seconds of a copy from its server and when it begins."""
    if not isinstance(service, SlowFast) or service.interval <= 0.0:
        seconds = _stream(partial(service.draw, rng=rng))
        return lambda _server, _now: next(seconds)
    paces, times = rng.spawn(2)
    seconds = _stream(partial(service.service.draw, rng=times))
    epoch, slowdowns = -1.0, [1.0] * n_servers

    def draw(server: int, now: float) -> float:
        nonlocal epoch, slowdowns
        if now // service.interval > epoch:
            epoch = now // service.interval
            slowdowns = service.draw_slowdowns(n_servers, paces).tolist()
        return next(seconds) * slowdowns[server]

    return draw
