"""Which servers get a copy of a request, and when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from coded.arguments import read_count, read_number
from coded.latency.closed_forms import c3_score, late_time_left
from coded.latency.cluster import Cluster, Copy, Policy, Request, State


@dataclass(frozen=True)
class Redundant(Policy):
    """Send copies to different servers at once; the first `needed` answers are enough.

    One copy is no redundancy: a server at random. With needed = 1 each copy is the whole request
    (redundancy-d). With needed = k it is one of k parts of the work, coded into `copies` by an
    MDS code, and takes 1 / k of a service time.

    Parameters
    ----------
    copies : int
        At least 1.
    needed : int, optional
        From 1 to `copies`.
    cancel_seconds : float, optional
        How long after the last answer needed the other copies are taken back, >= 0; inf: never.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.
    """

    copies: int
    needed: int = 1
    cancel_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        read_count(self.copies, "copies", at_least=1)
        read_count(self.needed, "needed", at_least=1, at_most=self.copies)
        read_number(self.cancel_seconds, "cancel_seconds", "[0, inf]")

    def require_servers(self, n_servers: int) -> None:
        """Refuse fewer servers than copies."""
        _require_servers(self.copies, n_servers)

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Send all copies."""
        request.needed = self.needed
        cluster.send(request, cluster.pick_servers(self.copies))

    def complete(self, cluster: Cluster, request: Request) -> None:
        """Take the others back."""
        cluster.cancel(request.copies, after=self.cancel_seconds)


@dataclass(frozen=True)
class Hedged(Policy):
    """Send a copy to a second server if the first has not answered after `delay` seconds.

    Parameters
    ----------
    delay : float
        Seconds, >= 0; Dean and Barroso advise the 95th percentile of the latency.
    cancel_seconds : float, optional
        How long after the answer the other copy is taken back, >= 0; inf: never.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.

    References
    ----------
    J. Dean, L. A. Barroso, "The Tail at Scale", Comm. ACM 56 (2013).
    """

    delay: float
    cancel_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        read_number(self.delay, "delay", "[0, inf)")
        read_number(self.cancel_seconds, "cancel_seconds", "[0, inf]")

    def require_servers(self, n_servers: int) -> None:
        """Refuse a single server."""
        _require_servers(2, n_servers)

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Send the first copy."""
        cluster.send(request, cluster.pick_servers(1))
        cluster.after(self.delay, partial(self._hedge, cluster, request))

    def _hedge(self, cluster: Cluster, request: Request) -> None:
        if not request.is_complete:
            cluster.send(request, cluster.pick_servers(1, but=[request.copies[0].server]))

    def complete(self, cluster: Cluster, request: Request) -> None:
        """Take the other copy back."""
        cluster.cancel(request.copies, after=self.cancel_seconds)


@dataclass(frozen=True)
class Tied(Policy):
    """Queue copies at different servers; the first that begins takes the others back.

    Parameters
    ----------
    copies : int, optional
        At least 1.
    cancel_seconds : float, optional
        How long the message to the other servers takes, >= 0. Copies that begin meanwhile run
        until it comes.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.

    References
    ----------
    J. Dean, L. A. Barroso, "The Tail at Scale", Comm. ACM 56 (2013).
    """

    copies: int = 2
    cancel_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        read_count(self.copies, "copies", at_least=1)
        read_number(self.cancel_seconds, "cancel_seconds", "[0, inf)")

    def require_servers(self, n_servers: int) -> None:
        """Refuse fewer servers than copies."""
        _require_servers(self.copies, n_servers)

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Queue all copies."""
        cluster.send(request, cluster.pick_servers(self.copies))

    def started(self, cluster: Cluster, copy: Copy) -> None:
        """Take the others back when the first begins."""
        others = [other for other in copy.request.copies if other is not copy]
        if all(other.state is State.QUEUED for other in others):
            cluster.cancel(others, after=self.cancel_seconds)


@dataclass(frozen=True)
class LeastOutstanding(Policy):
    """Send each request to the replica with the fewest requests of the same client.

    Parameters
    ----------
    replicas : int, optional
        Servers, drawn anew for each request, that could serve it; at least 1.
    n_clients : int, optional
        Clients, at least 1; each request comes from one at random, and clients know nothing of
        one another.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.
    """

    replicas: int = 3
    n_clients: int = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        _read_clients(self.replicas, self.n_clients)

    def require_servers(self, n_servers: int) -> None:
        """Refuse fewer servers than replicas."""
        _require_servers(self.replicas, n_servers)

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Send to the best replica."""
        request.client = cluster.pick(self.n_clients)
        views = cluster.views
        servers = cluster.pick_servers(self.replicas)
        server = min(servers, key=lambda one: views[request.client, one].outstanding)
        views[request.client, server].outstanding += 1
        cluster.send(request, [server])

    def answered(self, cluster: Cluster, copy: Copy) -> None:
        """Count the answer."""
        cluster.views[copy.request.client, copy.server].outstanding -= 1


@dataclass(frozen=True)
class C3(Policy):
    """Send each request to the replica with the lowest score of C3.

    Each client ranks the servers by `c3_score` over moving averages of what came with answers;
    a server that it does not know yet comes first. C3's rate control is left out.

    Parameters
    ----------
    replicas, n_clients : int, optional
        As in `LeastOutstanding`.
    exponent : float, optional
        Of the queue, >= 1; 3 in the paper, 4 in Elasticsearch's adaptive replica selection.
    smoothing : float, optional
        The weight of the newest value in the moving averages, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.

    References
    ----------
    L. Suresh, M. Canini, S. Schmid, A. Feldmann, "C3: Cutting Tail Latency in Cloud Data Stores
    via Adaptive Replica Selection", NSDI 2015, section 3.1.
    """

    replicas: int = 3
    n_clients: int = 1
    exponent: float = 3.0
    smoothing: float = 0.9

    def __post_init__(self) -> None:
        """Check the parameters."""
        _read_clients(self.replicas, self.n_clients)
        read_number(self.exponent, "exponent", "[1, inf)")
        read_number(self.smoothing, "smoothing", "(0, 1]")

    def require_servers(self, n_servers: int) -> None:
        """Refuse fewer servers than replicas."""
        _require_servers(self.replicas, n_servers)

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Send to the best replica."""
        request.client = cluster.pick(self.n_clients)
        servers = cluster.pick_servers(self.replicas)
        server = min(servers, key=partial(self._score, cluster, request.client))
        cluster.views[request.client, server].outstanding += 1
        cluster.send(request, [server])

    def _score(self, cluster: Cluster, client: int, server: int) -> float:
        view = cluster.views[client, server]
        if not view.answers:
            return -math.inf if view.outstanding == 0 else math.inf
        return c3_score(
            response=view.response,
            service=view.service,
            queue=view.queue,
            outstanding=view.outstanding,
            n_clients=self.n_clients,
            exponent=self.exponent,
        )

    def answered(self, cluster: Cluster, copy: Copy) -> None:
        """Learn from the answer: its times, and the queue that it left behind."""
        view = cluster.views[copy.request.client, copy.server]
        weight = self.smoothing if view.answers else 1.0
        view.response += weight * (cluster.now - copy.sent - view.response)
        view.service += weight * (copy.seconds - view.service)
        view.queue += weight * (cluster.count_waiting(copy.server) - view.queue)
        view.answers += 1
        view.outstanding -= 1


@dataclass(frozen=True)
class LATE(Policy):
    """Back up the running task that will end last, on a server with nothing else to do.

    Requests are tasks of one job (simulate with load = inf) and wait in one queue for any free
    server. A server that finds the queue empty backs up, of the running tasks without a backup
    whose progress is among the slowest, the one with the longest `late_time_left`; unless it has
    itself made too little progress, or there are enough backups. Progress is even from start to
    end, so the estimate is exact.

    Parameters
    ----------
    speculative_cap : float, optional
        Backups that may run at once, as a fraction of the servers, in [0, 1]; 0: none.
    slow_node : float, optional
        Servers below this quantile of progress get no backups, in [0, 1].
    slow_task : float, optional
        Only tasks up to this quantile of progress rates are backed up, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.

    References
    ----------
    M. Zaharia, A. Konwinski, A. D. Joseph, R. Katz, I. Stoica, "Improving MapReduce Performance
    in Heterogeneous Environments", OSDI 2008, section 4.
    """

    speculative_cap: float = 0.1
    slow_node: float = 0.25
    slow_task: float = 0.25

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name in ("speculative_cap", "slow_node", "slow_task"):
            read_number(getattr(self, name), name, "[0, 1]")

    def arrived(self, cluster: Cluster, request: Request) -> None:
        """Give the task to a free server, or let it wait."""
        free = _free_servers(cluster)
        if free:
            cluster.send(request, [free[cluster.pick(len(free))]])
        else:
            cluster.backlog.append(request)

    def complete(self, cluster: Cluster, request: Request) -> None:
        """Take the other copy back, and see whether free servers may back up a task now."""
        cluster.cancel(request.copies)
        for server in _free_servers(cluster):
            self.idle(cluster, server)

    def idle(self, cluster: Cluster, server: int) -> None:
        """Take the next task, or back one up."""
        if cluster.backlog:
            cluster.send(cluster.backlog.popleft(), [server])
            return
        running = [copy for copy in cluster.running if copy is not None]
        backups = sum(copy is not copy.request.copies[0] for copy in running)
        if not running or backups + 1 > self.speculative_cap * cluster.n_servers:
            return
        progress = _progress(cluster)
        if progress[server] < _quantile(progress, self.slow_node):
            return
        # progress is even: the lowest rates are the longest times
        slow = _quantile([-copy.seconds for copy in running], self.slow_task)
        candidates = [
            copy
            for copy in running
            if len(copy.request.copies) == 1
            and -copy.seconds <= slow
            and copy.began < cluster.now  # no progress, no rate
        ]
        if candidates:
            last = max(candidates, key=partial(_time_left, cluster.now))
            cluster.send(last.request, [server])


def _progress(cluster: Cluster) -> list[float]:
    """Give the tasks, whole and in part, that each server has done."""
    return [
        done + (0.0 if copy is None else _score(cluster.now, copy))
        for done, copy in zip(cluster.finished, cluster.running, strict=True)
    ]


def _score(now: float, copy: Copy) -> float:
    """Give the part of a running copy that is done, from 0 to 1."""
    elapsed = now - copy.began
    return elapsed / copy.seconds if elapsed < copy.seconds else 1.0


def _time_left(now: float, copy: Copy) -> float:
    return late_time_left(_score(now, copy), now - copy.began)


def _free_servers(cluster: Cluster) -> list[int]:
    return [server for server, copy in enumerate(cluster.running) if copy is None]


def _quantile(values: Sequence[float], fraction: float) -> float:
    """Give the value below which the fraction of all lies, one of them."""
    return sorted(values)[int(fraction * (len(values) - 1))]


def _read_clients(replicas: int, n_clients: int) -> None:
    read_count(replicas, "replicas", at_least=1)
    read_count(n_clients, "n_clients", at_least=1)


def _require_servers(needed: int, n_servers: int) -> None:
    if n_servers < needed:
        raise ValueError(
            f"n_servers must be >= {needed}, for copies and replicas lie on different servers, "
            f"got {n_servers}; add servers or ask for fewer copies"
        )
