"""Product codes for linear functions: two small MDS codes, decoded by peeling."""

from __future__ import annotations

import itertools
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.algebra.linear_decoder import amplification, least_norm_decoder
from coded.algebra.mds_generator import mds_generator
from coded.arguments import read_count
from coded.maps.arrays import LinearMap, Matrix
from coded.maps.blocks import BlockMap
from coded.schemes.exact import ExactScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant

Grid: TypeAlias = tuple[int, int]
_Grids: TypeAlias = tuple[Grid, Grid]  # of the inputs, of the workers


class ProductScheme(ExactScheme):
    """Code a linear function exactly by two small codes, along the rows and columns of a grid.

    The inputs lie on a k1 x k2 grid and the coded inputs on an n1 x n2 grid, both row by row:
    worker ``i n2 + j`` gets ``sum_ab G1[i, a] G2[j, b] x_ab``, G1 and G2 generators of MDS codes
    (`mds_generator`). If f is affine, any k2 answers in a row give the whole row, any k1 in a
    column the whole column; decoding repeats this until nothing is added ("peeling"). It
    succeeds for every loss of fewer than ``(n1 - k1 + 1) (n2 - k2 + 1)`` answers, and for many
    larger ones, if they are scattered. An MDS code over all N workers (`MDSScheme`) needs
    fewer answers; here only small systems are solved, and a product of two matrices, each
    coded by itself, is coded this way (example below). Answers to unmixed inputs are returned
    bit for bit.

    Answers beyond K are checked. Where they contradict the others by more than rounding, f is not
    affine or workers lie: `decode` raises InconsistentAnswersError, unless few contradict all
    others: these it leaves out, and `find_liars` names them. Few are half of
    ``(n1 - k1 + 1) (n2 - k2 + 1) - 1`` less the losses, and one where any two more answers might
    be lost. `estimate` decodes whatever comes, with errors without bound where f is not affine.

    Responder sets whose peeling amplifies errors of the answers by more than 1e8
    (`amplification`) are refused, as if there were too few of them.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= K.
    input_grid : (int, int), optional
        (k1, k2) with k1 k2 = K.
    worker_grid : (int, int), optional
        (n1, n2) with n1 n2 = N, n1 >= k1, n2 >= k2. A grid that is not given is chosen: with
        n1, n2 >= 2; where that can be, with spare rows and spare columns; then as square as
        possible; then so that as many answers as possible may be missing.

    Raises
    ------
    TypeError
        If a count is no integer, or a grid no pair of integers.
    ValueError
        If a count is out of range, a grid has not the given number of places or cannot hold
        the inputs, or none can be chosen.

    References
    ----------
    K. Lee, C. Suh, K. Ramchandran, "High-Dimensional Coded Matrix Multiplication", ISIT 2017.

    Examples
    --------
    >>> scheme = ProductScheme(4, 9)
    >>> scheme
    ProductScheme(4, 9, input_grid=(2, 2), worker_grid=(3, 3))
    >>> scheme.min_responders
    6
    >>> inputs = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [5.0, -1.0]])
    >>> coded_outputs = 3.0 * scheme.encode(inputs) + 1.0
    >>> scheme.decode(coded_outputs[[2, 4, 6, 7]], [2, 4, 6, 7]).round(9)
    array([[ 4.,  1.],
           [ 1.,  4.],
           [ 7.,  7.],
           [16., -2.]])

    The blocks of a product ``A B``, A coded by rows and B by columns:

    >>> a, b = np.arange(8.0).reshape(4, 2), np.arange(12.0).reshape(2, 6)
    >>> a_coded = np.tensordot(mds_generator(2, 3), a.reshape(2, 2, 2), 1)
    >>> b_coded = np.tensordot(mds_generator(2, 3), b.reshape(2, 2, 3).swapaxes(0, 1), 1)
    >>> products = np.stack([rows @ columns for rows in a_coded for columns in b_coded])
    >>> blocks = scheme.decode(products[2:8], range(2, 8)).reshape(2, 2, 2, 3)
    >>> np.allclose(blocks.swapaxes(1, 2).reshape(4, 6), a @ b)
    True
    """

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        input_grid: Grid | None = None,
        worker_grid: Grid | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, None)
        self._input_grid, self._worker_grid = _choose_grids(
            _grids(self._n_inputs, input_grid, "input_grid"),
            _grids(self._n_workers, worker_grid, "worker_grid"),
            shortest=1 if worker_grid is not None else 2,
        )
        self._n_stragglers = _survivable(self._input_grid, self._worker_grid)

    @property
    def input_grid(self) -> Grid:
        """(k1, k2): input ``a k2 + b`` lies in row a and column b."""
        return self._input_grid

    @property
    def worker_grid(self) -> Grid:
        """(n1, n2): worker ``i n2 + j`` lies in row i and column j."""
        return self._worker_grid

    def _code_of_columns(self) -> Matrix:
        return mds_generator(self._input_grid[0], self._worker_grid[0])

    def _code_of_rows(self) -> Matrix:
        return mds_generator(self._input_grid[1], self._worker_grid[1])

    def _build_encoder(self) -> LinearMap:
        held = self._held()
        generator = np.kron(self._code_of_columns(), self._code_of_rows())
        return BlockMap(held, np.asarray(generator, dtype=np.float64)[held < 0])

    def _build_exact(self, responders: Responders) -> tuple[LinearMap, float]:
        held = self._held()[list(responders)]
        source = np.full(self._n_inputs, -1)
        source[held[held >= 0]] = np.flatnonzero(held >= 0)
        decoder = self._decoding_matrix(responders)
        return BlockMap(source, decoder[source < 0]), amplification(decoder)

    def _decoding_matrix(self, responders: Responders) -> Matrix:
        """D by peeling: each known place of the grid as a combination of the answers."""
        known = self._answered(responders)
        places = np.zeros((known.size, len(responders)))
        places[list(responders), np.arange(len(responders))] = 1.0
        grid = places.reshape(*known.shape, -1)
        codes = self._code_of_rows(), self._code_of_columns()
        (k1, k2), n_known = self._input_grid, -1
        while not known[:k1, :k2].all() and known.sum() > n_known:
            n_known = known.sum()
            _complete_rows(grid, known, codes[0])
            _complete_rows(grid.swapaxes(0, 1), known.T, codes[1])
        return grid[:k1, :k2].reshape(self._n_inputs, -1)

    def _answered(self, responders: Responders) -> NDArray[np.bool_]:
        """Mark the grid's places that answered, shape (n1, n2)."""
        return np.isin(np.arange(self._n_workers), responders).reshape(self._worker_grid)

    def _determine(self, responders: Responders) -> bool:
        """Tell whether peeling gives all places of the grid."""
        known = self._answered(responders)
        (k1, k2), n_known = self._input_grid, -1
        while known.sum() > n_known:
            n_known = known.sum()
            known[known.sum(axis=1) >= k2] = True
            known[:, known.sum(axis=0) >= k1] = True
        return bool(known.all())

    def _most_liars(self, responders: Responders) -> int:
        """By the whole code's distance less the losses; one too where any two more may go."""
        n_lost = self._n_workers - len(responders)
        by_distance = (self._n_stragglers - n_lost) // 2
        if by_distance > 0:
            return by_distance
        pairs = itertools.combinations(responders, 2)
        return int(all(self._determine(_without(responders, pair)) for pair in pairs))

    def _lack(self) -> str:
        k1, k2 = self._input_grid
        return (
            f"answers that peeling completes, {k2} in a row giving the row and {k1} in a "
            f"column the column (any {self.min_responders} do)"
        )

    def _held(self) -> NDArray[np.intp]:
        (k1, k2), grid = self._input_grid, np.full(self._worker_grid, -1)
        grid[:k1, :k2] = np.arange(k1 * k2).reshape(k1, k2)
        return grid.ravel()

    def _settings(self) -> str:
        return f", input_grid={self._input_grid}, worker_grid={self._worker_grid}"


def _without(responders: Responders, lost: tuple[int, int]) -> Responders:
    return tuple(n for n in responders if n not in lost)


def _complete_rows(grid: NDArray[np.float64], known: NDArray[np.bool_], code: Matrix) -> None:
    """Fill each row of the grid of which the code's dimension is known, in place."""
    counts = known.sum(axis=1)
    for i in np.flatnonzero((counts >= code.shape[1]) & (counts < len(code))):
        here = known[i].copy()
        grid[i, ~here] = least_norm_decoder(code[here], code[~here]) @ grid[i, here]
        known[i] = True


def _survivable(input_grid: Grid, worker_grid: Grid) -> int:
    """How many answers may be missing, whichever they are: one less than the smallest rectangle.

    A rectangle of lost places that leaves k1 - 1 rows and k2 - 1 columns stops the peeling.
    """
    return math.prod(n - k + 1 for k, n in zip(input_grid, worker_grid, strict=True)) - 1


def _grids(count: int, grid: Grid | None, name: str) -> list[Grid]:
    """Give the grids of `count` places: the given one, or all."""
    if grid is None:
        return [(a, count // a) for a in range(1, count + 1) if count % a == 0]
    if not isinstance(grid, tuple | list) or len(grid) != 2:
        raise TypeError(f"{name} must be a pair of integers, got {grid!r}; pass (rows, columns)")
    rows, columns = (read_count(side, f"{name}[{i}]", at_least=1) for i, side in enumerate(grid))
    if rows * columns != count:
        raise ValueError(
            f"{name} must have {count} places, got {rows} x {columns} = {rows * columns}; "
            f"leave it out, or pass one of {_grids(count, None, name)}"
        )
    return [(rows, columns)]


def _choose_grids(input_grids: list[Grid], worker_grids: list[Grid], *, shortest: int) -> _Grids:
    """Choose the best of the pairs that fit; see the class."""
    fitting = _fitting(input_grids, worker_grids, shortest=shortest)
    if not fitting:
        n_inputs, n_workers = math.prod(input_grids[0]), math.prod(worker_grids[0])
        near = sorted(range(1, 2 * n_workers + 2 * n_inputs + 3), key=lambda n: abs(n - n_workers))
        possible = (n for n in near if _fitting(input_grids, _grids(n, None, ""), shortest=2))
        raise ValueError(
            f"n_workers = {n_workers} has no grid for n_inputs = {n_inputs}: none of "
            f"{worker_grids} with sides >= {shortest} holds one of {input_grids}, rows along rows; "
            f"take n_workers = {next(possible)} or {next(possible)}, other grids, or MDSScheme, "
            "which needs none"
        )

    def worse(pair: _Grids) -> tuple[bool, int, int, int]:
        (k1, k2), (n1, n2) = pair
        return k1 == n1 or k2 == n2, abs(n1 - n2), -_survivable(*pair), abs(k1 - k2)

    return min(fitting, key=worse)


def _fitting(input_grids: list[Grid], worker_grids: list[Grid], *, shortest: int) -> list[_Grids]:
    """Give the pairs whose workers' sides are at least `shortest` and hold the inputs' sides."""
    return [
        (inputs, workers)
        for inputs in input_grids
        for workers in worker_grids
        if min(workers) >= shortest and inputs[0] <= workers[0] and inputs[1] <= workers[1]
    ]


def _make(setting: Setting) -> ProductScheme:
    return ProductScheme(setting.n_inputs, setting.n_workers)


VARIANTS = {"product": Variant(_make, "linear", "exact for affine f if rows and columns peel")}
