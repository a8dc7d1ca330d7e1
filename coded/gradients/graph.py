"""Graph codes: parts are vertices, workers are edges; approximate, whoever is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.maps.arrays import LinearMap, Matrix, MatrixMap
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

    Weights are found in time linear in parts and answers, from the leaves of a tree of shortest
    paths in each component. They are not those of least norm, and amplify rounding more, but with
    4 copies a part less than three times as much.

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

        It is made of random circles through all vertices, and for an odd degree of random pairs,
        no edge twice; such graphs expand with high probability.

        Parameters
        ----------
        n_parts : int
            At least ``degree + 1``, and even where the degree is odd; there are
            ``n_parts * degree / 2`` workers.
        degree : int
            Copies of each part, at least 2.
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
            If a count is out of range, both are odd, or the graph is too dense for circles without
            an edge in common.

        Examples
        --------
        >>> GraphCode.regular(12, 4, 5)
        GraphCode(24 edges between 12 parts, n_stragglers=5)
        """
        degree = read_count(degree, "degree", at_least=2)
        n_parts = read_count(n_parts, "n_parts", at_least=degree + 1)
        if degree % 2 and n_parts % 2:
            raise ValueError(
                f"degree or n_parts must be even, for an edge has two ends, got {degree} and "
                f"{n_parts}; take degree={degree + 1} or n_parts={n_parts + 1}"
            )
        return cls(_regular_edges(n_parts, degree, derived(rng)), n_stragglers)

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
        components = _components(self._edges[list(workers)], self.n_parts)
        sides = [(one.left, one.right) for one in components if one.odd_edge is None]
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

    def _build_decoder(self, responders: Responders) -> LinearMap:
        """Give a, such that at each part the weights of its edges sum to what is best there."""
        edges = self._edges[list(responders)]
        weights = np.zeros(len(edges))
        for one in _components(edges, self.n_parts):
            one.weigh(edges, weights)
        return MatrixMap(weights[None])

    def _lack(self, responders: Responders) -> str:  # noqa: ARG002 (as of the class)
        return "at least one answer"


@dataclass
class _Component:
    """Parts that edges connect, by a tree of shortest paths from the first of them.

    Attributes
    ----------
    parts : list of int
        In the order in which they are reached.
    up : list of (int, int)
        Of each but the first, the part from which it is reached, and the edge to there.
    side : dict
        Of each part 0 or 1: whether its way to the first has an odd number of edges.
    odd_edge : int or None
        An edge between two parts on one side, which closes a circle of odd length.
    """

    parts: list[int]
    up: list[tuple[int, int]]
    side: dict[int, int]
    odd_edge: int | None = None

    @property
    def right(self) -> int:
        """The number of parts on side 1."""
        return sum(self.side.values())

    @property
    def left(self) -> int:
        """The number of parts on side 0."""
        return len(self.parts) - self.right

    def weigh(self, edges: NDArray[np.intp], weights: Matrix) -> None:
        """Fill in the weights of the component's edges, 0 where they are of no tree."""
        left, right = self.left, self.right
        if self.odd_edge is None:  # both sides get the same sum, which cannot be that of ones
            best = (2.0 * right / (left + right), 2.0 * left / (left + right))
            open_at = {v: best[side] for v, side in self.side.items()}
        else:
            open_at = dict.fromkeys(self.parts, 1.0)
            u, v = edges[self.odd_edge].tolist()
            excess = (left - right) / 2.0  # of one side, which an edge within it takes off
            weights[self.odd_edge] = excess if self.side[u] == 0 else -excess
            open_at[u] -= weights[self.odd_edge]
            open_at[v] -= weights[self.odd_edge]
        for v, (u, edge) in zip(reversed(self.parts[1:]), reversed(self.up), strict=True):
            weights[edge] = open_at[v]
            open_at[u] -= open_at[v]


def _components(edges: NDArray[np.intp], n_parts: int) -> Iterator[_Component]:
    """Find the components of the parts by breadth-first search."""
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(n_parts)]
    for edge, (u, v) in enumerate(edges.tolist()):
        neighbours[u].append((v, edge))
        neighbours[v].append((u, edge))
    seen: set[int] = set()
    for root in range(n_parts):
        if root in seen:
            continue
        one = _Component([root], [], {root: 0})
        for u in one.parts:  # which grows meanwhile
            for v, edge in neighbours[u]:
                if v not in one.side:
                    one.side[v] = 1 - one.side[u]
                    one.parts.append(v)
                    one.up.append((u, edge))
                elif one.side[v] == one.side[u] and one.odd_edge is None:
                    one.odd_edge = edge
        seen.update(one.parts)
        yield one


def _regular_edges(n_parts: int, degree: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Give the edges of random circles through all vertices and perhaps of pairs, no edge twice."""
    edges: list[tuple[int, int]] = []
    for left in range(degree, 0, -2):
        for _ in range(_DRAWS):
            circle = rng.permutation(n_parts).tolist()
            ends = zip(circle, [*circle[1:], circle[0]], strict=True)
            drawn = [(min(u, v), max(u, v)) for u, v in ends][:: 2 if left == 1 else 1]
            if not set(drawn) & set(edges):
                break
        else:
            raise ValueError(
                f"degree must leave room for circles without an edge in common, but "
                f"{_DRAWS} random ones of {n_parts} parts had none for degree {degree}; take "
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
    touched = np.unique(array)
    if touched[-1] != touched.size - 1:  # not by all indices up to it, which may be very many
        gap = np.flatnonzero(touched != np.arange(touched.size))[0]
        raise ValueError(
            f"edges must touch each part, but part {gap} is on none, and the largest index "
            f"is {touched[-1]}; count the parts from 0 without gaps"
        )
    return read_only(array.astype(np.intp))


def _incidence(edges: NDArray[np.intp]) -> Matrix:
    matrix = np.zeros((len(edges), int(edges.max()) + 1))
    np.put_along_axis(matrix, edges, 1.0, axis=1)
    return matrix
