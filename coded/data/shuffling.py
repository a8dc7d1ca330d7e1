"""Coded shuffling: rows go to other workers each epoch, several in one broadcast message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.schemes.door import refuse_gradient
from coded.seeds import derived
from fastspline.arrays import Restore, as_numpy, read_only

Indices: TypeAlias = NDArray[np.intp]
Bytes: TypeAlias = NDArray[np.uint8]
_Pair: TypeAlias = tuple[int, int]  # a worker, and a row that it wants
_Kind: TypeAlias = tuple[int, int]  # as bits: the workers of a message, and who holds all its rows


def shuffling_rates(n_rows: int, n_workers: int, n_cached: int) -> tuple[float, float]:
    """Give how many rows a shuffle sends, uncoded and coded, in the mean for very many rows.

    With q rows of which each of n workers caches s, its own q / n and others at random, a worker
    has a row that another wants with probability ``p = (s - q/n) / (q - q/n)``. Uncoded it takes
    ``q - s`` rows, and coded

    ``q / (n p)^2 ((1 - p)^(n + 1) + (n - 1) p (1 - p) - (1 - p)^2)``.

    Parameters
    ----------
    n_rows : int
        q >= n.
    n_workers : int
        n >= 2.
    n_cached : int
        s, in [q / n, q].

    Returns
    -------
    uncoded, coded : float

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    K. Lee, M. Lam, R. Pedarsani, D. Papailiopoulos, K. Ramchandran, "Speeding Up Distributed
    Machine Learning Using Codes", IEEE Trans. Information Theory 64 (2018), arXiv:1512.02673,
    theorem on coded shuffling.

    Examples
    --------
    >>> shuffling_rates(1200, 4, 600)
    (600.0, 238.8888888888889)
    """
    n = read_count(n_workers, "n_workers", at_least=2)
    q = read_count(n_rows, "n_rows", at_least=n)
    s = read_count(n_cached, "n_cached", at_least=-(-q // n), at_most=q)
    p = (s - q / n) / (q - q / n)
    if p == 0.0:
        return float(q - s), float(q - s)
    coded = q / (n * p) ** 2 * ((1 - p) ** (n + 1) + (n - 1) * p * (1 - p) - (1 - p) ** 2)
    return float(q - s), float(coded)


class ShufflePlan:
    """Bring each worker the rows that it wants, by messages that everybody hears.

    A message is the exclusive or of some rows, of which each is wanted by one worker and cached by
    all the others that the message is for: each takes off what it caches, and what remains is the
    row that it wants, bit for bit. So one message is as long as one row, and serves several.

    As published, rows are grouped by who wants and who caches them, and the shorter lists of a
    group are padded. Here what would be padding carries rows of other groups that fit: rows with
    few holders are placed first, each into the message with which it shares most. In the mean of
    random shuffles 350 messages are sent of 1,200 rows to 6 workers that cache 400 each, where
    padding takes 403, and no code 800; to 10 workers 310, 600 and 800. `shuffling_rates` has 308
    for the first, where padding does not matter.

    To plan takes a time that grows with rows times messages: for 20 workers that cache half of the
    rows 50 ms where these are 2,000, and 3 s where they are 20,000.

    It pays where a broadcast costs about as much as to send one worker the same, as on one radio
    channel or by multicast, and where workers cannot cache everything. Not where the link of each
    worker is what is slow: it receives all messages for it either way.

    Parameters
    ----------
    cached : sequence of array_like of int
        The rows that each worker has, each once.
    wanted : sequence of array_like of int
        The rows that each worker is to have next, in its order; no row for two workers.

    Raises
    ------
    TypeError
        If rows are no integers.
    ValueError
        If there are not as many of both, a row is negative or beyond any array, twice at a worker,
        or wanted by two.

    References
    ----------
    K. Lee, M. Lam, R. Pedarsani, D. Papailiopoulos, K. Ramchandran, "Speeding Up Distributed
    Machine Learning Using Codes", IEEE Trans. Information Theory 64 (2018), arXiv:1512.02673,
    coded shuffling.

    Examples
    --------
    Each of two workers has what the other wants; one message is enough:

    >>> rows = np.array([1.5, 2.5, 3.5, 4.5])
    >>> plan = ShufflePlan(cached=[[0, 1], [2, 3]], wanted=[[0, 2], [3, 1]])
    >>> plan.messages, plan.n_uncoded
    ((((0, 2), (1, 1)),), 2)
    >>> sent = plan.encode(rows)
    >>> plan.decode(0, rows[[0, 1]], sent), plan.decode(1, rows[[2, 3]], sent)
    (array([1.5, 3.5]), array([4.5, 2.5]))
    """

    def __init__(self, cached: Sequence[ArrayLike], wanted: Sequence[ArrayLike]) -> None:
        self._cached = _read_shares(cached, "cached")
        self._wanted = _read_shares(wanted, "wanted")
        if len(self._cached) != len(self._wanted):
            raise ValueError(
                f"cached and wanted must have the rows of each worker, got {len(self._cached)} "
                f"and {len(self._wanted)}; pass one sequence a worker"
            )
        together = np.sort(np.concatenate(self._wanted))
        twice = together[1:][together[1:] == together[:-1]]
        if twice.size:
            raise ValueError(
                f"wanted must have each row once, but row {twice[0]} is wanted by two workers; "
                "deal a permutation of the rows"
            )
        self._messages = _merge(self._missing())

    @property
    def messages(self) -> tuple[tuple[_Pair, ...], ...]:
        """Of each message the pairs (worker, row): who gets which row from it."""
        return self._messages

    @property
    def n_sent(self) -> int:
        """The number of messages, each as long as a row."""
        return len(self._messages)

    @property
    def n_uncoded(self) -> int:
        """How many rows would be sent without a code: those that are wanted and not cached."""
        return sum(map(len, self._messages))

    def encode(self, rows: ArrayLike) -> Bytes:
        """Make the messages.

        Parameters
        ----------
        rows : array_like, shape (q, ...)
            All rows, numpy or torch, in any dtype of fixed size.

        Returns
        -------
        ndarray of uint8, shape (n_sent, bytes of a row)

        Raises
        ------
        TypeError
            If rows are objects, a masked array, or a tensor that requires grad or that numpy
            cannot hold.
        ValueError
            If a row of the plan is not there.
        """
        refuse_gradient(rows, "rows", self)
        raw = _bytes_of(as_numpy(rows, "rows")[0], "rows")
        last = max(
            (int(one.max()) for one in (*self._cached, *self._wanted) if one.size), default=0
        )
        if last >= len(raw):
            raise ValueError(
                f"rows must be all of them, got {len(raw)}, and the plan has row {last}; pass the "
                "whole array"
            )
        sent = np.zeros((self.n_sent, raw.shape[1]), np.uint8)
        for message, pairs in enumerate(self._messages):
            sent[message] = np.bitwise_xor.reduce(raw[[row for _, row in pairs]], axis=0)
        return sent

    def decode(self, worker: int, cached: ArrayLike, sent: Bytes) -> NDArray[Any]:
        """Give a worker the rows that it wants, from those that it has and what was sent.

        Parameters
        ----------
        worker : int
            Its index.
        cached : array_like, shape (s, ...)
            Its rows, in the order of ``cached[worker]``, and in the dtype that `encode` was given:
            messages do not tell it, and other ones of the same width give garbage.
        sent : ndarray of uint8, shape (n_sent, bytes of a row)
            What `encode` gave; messages that are for others are not read.

        Returns
        -------
        array, shape (wanted, ...)
            In the order of ``wanted[worker]``; kind, dtype and shape of rows as of `cached`.

        Raises
        ------
        TypeError
            If `worker` is no integer, rows are as `encode` refuses them, or `sent` holds no bytes.
        ValueError
            If it is none of the plan, or arrays have not the shapes of the plan.
        """
        worker = read_count(worker, "worker", at_least=0, at_most=len(self._cached) - 1)
        refuse_gradient(cached, "cached", self)
        held, (rows, device) = self._cached[worker], as_numpy(cached, "cached")
        raw, (sent, _) = _bytes_of(rows, "cached"), as_numpy(sent, "sent")
        if sent.dtype != np.uint8:
            raise TypeError(
                f"sent must hold bytes, dtype uint8, got {sent.dtype}; pass what encode gave"
            )
        if len(rows) != len(held) or sent.shape != (self.n_sent, raw.shape[1]):
            raise ValueError(
                f"cached and sent must have {len(held)} rows and {self.n_sent} messages of "
                f"{raw.shape[1]} bytes, got shapes {rows.shape} and {sent.shape}; pass the "
                "worker's rows in the plan's order, and all that was sent"
            )
        have = dict(zip(held.tolist(), raw, strict=True))
        for message, pairs in enumerate(self._messages):
            mine = [row for who, row in pairs if who == worker]
            if mine:
                known = [have[row] for who, row in pairs if who != worker]
                have[mine[0]] = np.bitwise_xor.reduce([sent[message], *known], axis=0)
        wanted = self._wanted[worker]
        gathered = np.array([have[row] for row in wanted.tolist()], np.uint8)
        arrived = gathered.reshape(-1).view(rows.dtype).reshape(len(wanted), *rows.shape[1:])
        return Restore(rows.dtype, device)(arrived)

    def next_cached(self, *, rng: int | np.random.Generator) -> tuple[Indices, ...]:
        """Choose what each worker caches from then on: what it wanted, and of the rest at random.

        Parameters
        ----------
        rng : int or Generator
            Seed of which rows stay.

        Returns
        -------
        tuple of ndarray of int
            As many rows for each worker as before, ascending; all are in its cache or arrived.
        """
        generator, following = derived(rng), []
        for held, wanted in zip(self._cached, self._wanted, strict=True):
            others = generator.permutation(np.setdiff1d(held, wanted))
            kept = others[: max(0, len(held) - len(wanted))]
            following.append(np.sort(np.concatenate([wanted, kept])))
        return tuple(following)

    def __repr__(self) -> str:
        """One line with the counts."""
        return (
            f"ShufflePlan({len(self._cached)} workers, {self.n_sent} messages for "
            f"{self.n_uncoded} rows)"
        )

    def _missing(self) -> dict[_Kind, list[_Pair]]:
        """Give the rows that are wanted and not cached, by who wants and who has them, as bits."""
        holders: dict[int, int] = {}
        for worker, rows in enumerate(self._cached):
            for row in rows.tolist():
                holders[row] = holders.get(row, 0) | 1 << worker
        missing: dict[_Kind, list[_Pair]] = {}
        for worker, rows in enumerate(self._wanted):
            for row in rows.tolist():
                have = holders.get(row, 0)
                if not have >> worker & 1:
                    missing.setdefault((1 << worker, have), []).append((worker, row))
        return missing


def _merge(missing: dict[_Kind, list[_Pair]]) -> tuple[tuple[_Pair, ...], ...]:
    """Put rows together in messages, first those with few holders.

    A row fits a message if its holders have all rows of the message, and the worker that wants it
    too; of those that fit, the one is taken which loses fewest holders, on either side.
    """
    open_to: dict[_Kind, list[list[_Pair]]] = {}
    for (worker, holders), pairs in sorted(
        missing.items(), key=lambda item: (item[0][1].bit_count(), item[0])
    ):
        left = list(pairs)
        fitting = [
            (members, common)
            for members, common in open_to
            if common & worker and not members & ~holders
        ]
        for members, common in sorted(
            fitting,
            key=lambda kind: ((kind[1] ^ holders) & ~kind[0] & ~worker).bit_count(),
        ):
            messages = open_to.pop((members, common))  # few kinds stay, as each row looks at all
            taken = messages[: len(left)]
            for message in taken:
                message.append(left.pop())
            if len(taken) < len(messages):
                open_to[members, common] = messages[len(taken) :]
            open_to.setdefault((members | worker, common & holders), []).extend(taken)
            if not left:
                break
        if left:
            open_to.setdefault((worker, holders), []).extend([pair] for pair in left)
    return tuple(tuple(sorted(one)) for messages in open_to.values() for one in messages)


def _read_shares(shares: Sequence[ArrayLike], name: str) -> tuple[Indices, ...]:
    """Give the rows of each worker, unique and from 0."""
    found = []
    for worker, rows in enumerate(shares):
        array = np.asarray(rows)
        if array.ndim != 1:
            raise ValueError(
                f"{name} must hold a sequence of rows a worker, but {name}[{worker}] has shape "
                f"{array.shape}"
            )
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(
                f"{name} must hold integers, but {name}[{worker}] has dtype {array.dtype}; pass "
                "indices of rows"
            )
        if array.size and (array.min() < 0 or len(np.unique(array)) < array.size):
            raise ValueError(
                f"{name} must hold indices from 0, each once, but {name}[{worker}] has a negative "
                "or repeated one"
            )
        if array.size and array.max() > np.iinfo(np.intp).max:
            raise ValueError(
                f"{name} must hold indices of rows, but {name}[{worker}] has {array.max()}, more "
                "than an array can have"
            )
        found.append(read_only(array.astype(np.intp)))
    if not found:
        raise ValueError(f"{name} must hold the rows of at least one worker, got none")
    return tuple(found)


def _bytes_of(rows: NDArray[Any], name: str) -> Bytes:
    """Give the rows' bytes, shape (rows, bytes of a row)."""
    if rows.ndim == 0 or rows.dtype.hasobject:
        raise TypeError(
            f"{name} must be an array with rows of a fixed size, got dtype {rows.dtype} and shape "
            f"{rows.shape}; turn objects into numbers"
        )
    width = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.intp))
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).reshape(len(rows), width)
