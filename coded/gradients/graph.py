"""Graph codes: parts are vertices, workers are edges; approximate, whoever is lost."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.maps.arrays import Matrix
from coded.schemes.door import read_responders
from coded.schemes.protocol import Responders
from coded.seeds import derived
from fastspline.arrays import read_only

_DRAWS = 1000  # of a circle without edges that are there already


class GraphCode(GradientCode):
    """Estimate the sum of the parts, two by each worker, with a known error whoever is lost.

    Part v is a vertex of a graph, worker n an edge, which answers the sum of its two ends. Of the
    edges that answered, the weights a are chosen that make ``|a B_F - 1|^2`` least; this
    `residual` is known without solving anything. It is the sum over connected components of

    - 0, where there is a circle of odd length: the component's sum is exact;
    - ``(l - r)^2 / (l + r)``, where vertices fall into two sides, l and r of them, and each edge
      leads from one to the other; a part that nobody answered for is such a component, with 1.

    The sum is exact where that is 0, and `CodedResult.exact` says so; else it is an estimate,
    good for a step of stochastic descent. A call waits for N - s answers, or with
    ``wait_for="exact"`` until the sum is exact or cannot become so.

    Compared with fractional repetition at the same redundancy, random losses cost about the same
    (24 parts, 4 copies, 20 % lost: mean residual a part 1.5e-3 against 1.6e-3); chosen losses
    cost less, as no few workers hold all copies of many parts: in a graph that expands, to cut
    parts off takes as many edges as lead to them. Not where every step must be exact, and not for
    less than 3 copies a part, where lost edges soon leave trees.

    Weights are found by least squares, which takes 3 ms for 300 edges on one thread.

    Parameters
    ----------
    edges : array_like of int, shape (N, 2)
        The two parts of each worker; parts are counted from 0, and each is on some edge.
    n_stragglers : int
        s, in [0, N - 1]: how many answers a call does not wait for.

    Raises
    ------
    TypeError
        If `edges` holds no integers, or the count is none.
    ValueError
        If `edges` is of another shape, holds a negative number or a loop, leaves out a part, or
        the count is out of range.

    References
    ----------
    M. Glasgow, M. Wootters, "Approximate Gradient Coding with Optimal Decoding", IEEE J. Selected
    Areas in Information Theory 2 (2021), arXiv:2006.09638 (assignment by graphs, decoding by
    components).

    Examples
    --------
    A triangle is exact, and a path of three parts, with one end more than middles, is not:

    >>> code = GraphCode([(0, 1), (1, 2), (2, 0)], 1)
    >>> code.residual([0, 1, 2]), round(code.residual([0, 1]), 3)
    (0.0, 0.333)
    >>> code.decode_vector([0, 1]).round(3), code.is_exact([0, 1])
    (array([0.667, 0.667]), False)
    """

    exact_first: ClassVar[bool] = False

    def __init__(self, edges: ArrayLike, n_stragglers: int) -> None:
        self._edges = _read_edges(edges)
        super().__init__(_incidence(self._edges), n_stragglers)

    @classmethod
    def regular(
        cls,
        n_parts: int,
        degree: int,
        n_stragglers: int,
        *,
        rng: int | np.random.Generator = 0,
    ) -> Self:
        """Make a code with a random graph in which each part is on `degree` edges.

        It is made of ``degree / 2`` random circles through all vertices, no edge twice; such
        graphs expand with high probability.

        Parameters
        ----------
        n_parts : int
            At least ``degree + 1``; there are ``n_parts * degree / 2`` workers.
        degree : int
            Copies of each part: even, at least 2.
        n_stragglers : int
            As of the class.
        rng : int or Generator, optional
            Seed of the circles.

        Returns
        -------
        GraphCode

        Raises
        ------
        TypeError
            If a count is no integer.
        ValueError
            If a count is out of range, or the graph is too dense for circles without an edge in
            common.

        Examples
        --------
        >>> GraphCode.regular(12, 4, 5)
        GraphCode(24 edges between 12 parts, n_stragglers=5)
        """
        degree = read_count(degree, "degree", at_least=2)
        if degree % 2:
            raise ValueError(f"degree must be even, got {degree}; take {degree + 1}")
        n_parts = read_count(n_parts, "n_parts", at_least=degree + 1)
        return cls(_circles(n_parts, degree // 2, derived(rng)), n_stragglers)

    @property
    def edges(self) -> NDArray[np.intp]:
        """The two parts of each worker, shape (N, 2), read-only."""
        return self._edges

    def residual(self, responders: ArrayLike) -> float:
        """Give ``min_a |a B_F - 1|^2`` in closed form, in O(parts + responders).

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            0 where the sum is exact.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        workers = read_responders(responders, self.n_workers)
        neighbours: list[list[int]] = [[] for _ in range(self.n_parts)]
        for u, v in self._edges[list(workers)].tolist():
            neighbours[u].append(v)
            neighbours[v].append(u)
        sides = _bipartite_sides(neighbours)
        return float(sum((left - right) ** 2 / (left + right) for left, right in sides))

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take the settings and start without decoders."""
        super().__setstate__(state)
        self._edges = read_only(self._edges)

    def __repr__(self) -> str:
        """One line."""
        return (
            f"GraphCode({self.n_workers} edges between {self.n_parts} parts, "
            f"n_stragglers={self.n_stragglers})"
        )

    def _lack(self, responders: Responders) -> str:  # noqa: ARG002 (as of the class)
        return "at least one answer"


def _bipartite_sides(neighbours: list[list[int]]) -> list[tuple[int, int]]:
    """Give the sizes of both sides of each component that has no circle of odd length."""
    side: dict[int, int] = {}
    found = []
    for root in range(len(neighbours)):
        if root in side:
            continue
        side[root], to_visit, sizes, is_odd = 0, [root], [1, 0], False
        while to_visit:
            u = to_visit.pop()
            for v in neighbours[u]:
                if v not in side:
                    side[v] = 1 - side[u]
                    sizes[side[v]] += 1
                    to_visit.append(v)
                is_odd |= side[v] == side[u]
        if not is_odd:
            found.append((sizes[0], sizes[1]))
    return found


def _circles(n_parts: int, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Give the edges of random circles through all vertices, no edge twice."""
    edges: list[tuple[int, int]] = []
    for _ in range(count):
        for _ in range(_DRAWS):
            circle = rng.permutation(n_parts).tolist()
            drawn = [
                (min(u, v), max(u, v))
                for u, v in zip(circle, [*circle[1:], circle[0]], strict=True)
            ]
            if not set(drawn) & set(edges):
                break
        else:
            raise ValueError(
                f"degree must leave room for circles without an edge in common, but "
                f"{_DRAWS} random ones of {n_parts} parts had none for degree {2 * count}; take "
                "more parts, a smaller degree, or pass edges of your own"
            )
        edges += drawn
    return edges


def _read_edges(edges: ArrayLike) -> NDArray[np.intp]:
    array = np.asarray(edges)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(
            f"edges must have shape (n_workers, 2), two parts a worker, got shape {array.shape}"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"edges must hold integers, got dtype {array.dtype}; pass indices of parts")
    if array.min() < 0:
        raise ValueError(f"edges must hold indices from 0, got {array.min()}")
    loops = np.flatnonzero(array[:, 0] == array[:, 1])
    if loops.size:
        raise ValueError(
            f"edges must lead from one part to another, but edges[{loops[0]}] is a loop at part "
            f"{array[loops[0], 0]}; pass two parts a worker"
        )
    missing = np.setdiff1d(np.arange(array.max() + 1), array)
    if missing.size:
        raise ValueError(
            f"edges must touch each part, but part {missing[0]} is on none, and the largest index "
            f"is {array.max()}; count the parts from 0 without gaps"
        )
    return read_only(array.astype(np.intp))


def _incidence(edges: NDArray[np.intp]) -> Matrix:
    matrix = np.zeros((len(edges), int(edges.max()) + 1))
    np.put_along_axis(matrix, edges, 1.0, axis=1)
    return matrix
