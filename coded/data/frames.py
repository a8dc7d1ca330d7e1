"""Tight frames: tall matrices S with ``S^T S = I``, whose rows any few can be spared of."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count, read_number
from coded.maps.arrays import LinearMap, Matrix, MatrixMap
from coded.schemes.door import read_responders
from coded.seeds import derived
from fastspline.arrays import FloatArray, require_finite

Indices = NDArray[np.intp]

_MOST_ROWS = 2**31  # of a frame


def hadamard_frame(
    n_rows: int, *, redundancy: float = 2.0, rng: int | np.random.Generator = 0
) -> LinearMap:
    """Make a frame of random columns of a Hadamard matrix, its rows in random order.

    It has M rows, the least power of two that is at least ``redundancy * n_rows``, all numbers are
    1 or -1 over ``sqrt(M)``, and n columns are mapped in O(n M log M) by the fast transform; the
    matrix itself is never made. Dealt in their own order, blocks of rows would be far from
    independent: 6 of 8 workers would then lose some mixture of the data entirely (n = 64).

    Parameters
    ----------
    n_rows : int
        Rows of the data, at least 1.
    redundancy : float, optional
        At least 1, and such that the frame has at most 2^31 rows.
    rng : int or Generator, optional
        Seed of columns and order.

    Returns
    -------
    LinearMap
        From (n_rows, ...) to (M, ...).

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a number is out of range.

    References
    ----------
    C. Karakus, Y. Sun, S. Diggavi, W. Yin, "Straggler Mitigation in Distributed Optimization
    Through Data Encoding", NeurIPS 2017, arXiv:1711.04969, Section 4 (subsampled Hadamard).

    Examples
    --------
    >>> frame = hadamard_frame(3).dense()
    >>> frame.shape, np.allclose(frame.T @ frame, np.eye(3))
    ((8, 3), True)
    """
    n = read_count(n_rows, "n_rows", at_least=1)
    wanted = read_number(redundancy, "redundancy", "[1, inf)") * n
    if wanted > _MOST_ROWS:
        raise ValueError(
            f"redundancy times n_rows must be at most {_MOST_ROWS:,}, got {wanted:.3g}; take a "
            "smaller redundancy, such as 2"
        )
    size = 1 << (int(np.ceil(wanted)) - 1).bit_length()
    generator = derived(rng)
    return _HadamardFrame(generator.permutation(size)[:n], generator.permutation(size))


def paley_frame(n_rows: int, *, rng: int | np.random.Generator = 0) -> LinearMap:
    """Make a frame of Paley's conference matrix, its rows in random order.

    With the least prime ``q >= 2 n_rows - 1`` that leaves 1 modulo 4, the conference matrix C of
    squares modulo q has ``C^2 = q I``, and eigenvectors to ``sqrt(q)`` are q + 1 rows, each at the
    same angle to each other where ``q = 2 n_rows - 1``. Nothing is more spread out; yet what of it
    any workers hold is hardly better conditioned than with `hadamard_frame`, which is much faster
    to make and to use: this one takes O(q^3), for few hundreds of rows.

    Parameters
    ----------
    n_rows : int
        Rows of the data, at least 1.
    rng : int or Generator, optional
        Seed of the order.

    Returns
    -------
    LinearMap
        From (n_rows, ...) to (q + 1, ...).

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a number is out of range.

    References
    ----------
    C. Karakus, Y. Sun, S. Diggavi, W. Yin, "Straggler Mitigation in Distributed Optimization
    Through Data Encoding", NeurIPS 2017, arXiv:1711.04969, Section 4 (equiangular tight frames).

    Examples
    --------
    >>> frame = paley_frame(7).dense()  # q = 13
    >>> np.unique(abs(frame @ frame.T).round(9))  # 1 / 2, and 1 / (2 sqrt(13))
    array([0.13867505, 0.5       ])
    """
    n = read_count(n_rows, "n_rows", at_least=1)
    q = max(2 * n - 1, 5)
    while q % 4 != 1 or any(q % divisor == 0 for divisor in range(3, isqrt(q) + 1, 2)):
        q += 1
    is_square = np.zeros(q, bool)
    is_square[np.arange(1, q) ** 2 % q] = True
    differences = np.subtract.outer(np.arange(q), np.arange(q)) % q
    conference = np.ones((q + 1, q + 1))
    conference[1:, 1:] = np.where(is_square[differences], 1.0, -1.0)
    np.fill_diagonal(conference, 0.0)
    vectors = np.linalg.eigh(conference)[1][:, (q + 1) // 2 :]
    return MatrixMap(vectors[derived(rng).permutation(q + 1), :n])


def frame_bounds(frame: LinearMap, n_workers: int, responders: ArrayLike) -> tuple[float, float]:
    """Give the least and the largest eigenvalue of ``N / R S_F^T S_F``, of rows that answered.

    Least squares on these rows, of data encoded by this frame, have at most the ratio of the two
    times the least sum of squares. It is 1 where all answered.

    Parameters
    ----------
    frame : LinearMap
        S.
    n_workers : int
        N, to whom the rows are dealt as by `encode_dataset`.
    responders : array_like of int, shape (R,)
        Indices of the answering workers, strictly ascending, at least one.

    Returns
    -------
    least, largest : float
        The first may be 0, or by rounding below: these rows do not determine all data.

    Raises
    ------
    TypeError
        If `frame` is no linear map, `responders` holds no integers, or the count is none.
    ValueError
        If `responders` is empty, not one-dimensional, is unsorted, repeats or leaves [0, N).

    Examples
    --------
    >>> frame = hadamard_frame(64)
    >>> [round(bound, 2) for bound in frame_bounds(frame, 8, [0, 1, 2, 4, 5, 6, 7])]
    [0.27, 1.14]
    """
    require_frame(frame)
    matrix = frame.dense()
    n = read_count(n_workers, "n_workers", at_least=1, at_most=len(matrix))
    workers = read_responders(responders, n)
    if not workers:
        raise ValueError("responders must name at least one worker, got none")
    blocks = np.array_split(matrix, n)
    rows = np.concatenate([blocks[i] for i in workers])
    eigenvalues = np.linalg.eigvalsh(rows.T @ rows) * (n / len(workers))
    return float(eigenvalues[0]), float(eigenvalues[-1])


def require_frame(frame: object) -> None:
    """Raise TypeError unless `frame` is a linear map, as a matrix is not."""
    if not callable(frame) or not callable(getattr(frame, "dense", None)):
        raise TypeError(
            f"frame must be a LinearMap, got {type(frame).__name__}; take hadamard_frame(n_rows), "
            "or pass a matrix as coded.maps.arrays.MatrixMap(matrix)"
        )


@dataclass(frozen=True, eq=False)
class _HadamardFrame:
    """Columns of Sylvester's Hadamard matrix, of which each is followed by the fast transform."""

    columns: Indices  # of the data's rows, among M
    order: Indices  # of the M rows

    def __call__(self, values: FloatArray) -> FloatArray:
        """Map (n, ...) to (M, ...), dtype kept; ValueError if a number is or becomes infinite."""
        _require_rows(values, len(self.columns), "values")
        spread = np.zeros((len(self.order), *values.shape[1:]), values.dtype)
        spread[self.columns] = values
        return self._transform(spread, "values")[self.order]

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        """Map (M, ...) to (n, ...); ValueError as in a call."""
        _require_rows(cotangent, len(self.order), "cotangent")
        in_place = np.empty_like(cotangent)
        in_place[self.order] = cotangent
        return self._transform(in_place, "cotangent")[self.columns]

    def dense(self) -> Matrix:
        """Give the matrix, shape (M, n)."""
        matrix: Matrix = self(np.eye(len(self.columns))).astype(np.float64, copy=False)
        return matrix

    def _transform(self, rows: FloatArray, name: str) -> FloatArray:
        """Multiply by ``H / sqrt(M)``, symmetric: sums and differences at each distance."""
        size = len(rows)
        flat = rows.reshape(size, -1)
        step = 1
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            while step < size:
                pairs = flat.reshape(size // (2 * step), 2, step, -1)
                low, high = pairs[:, 0], pairs[:, 1]
                flat = np.stack([low + high, low - high], axis=1)
                step *= 2
            flat = flat.reshape(rows.shape) * rows.dtype.type(size**-0.5)
        require_finite(flat, name)
        return flat


def _require_rows(rows: FloatArray, count: int, name: str) -> None:
    """Raise TypeError unless these are floats, ValueError unless there are so many rows."""
    if getattr(getattr(rows, "dtype", None), "kind", "") not in ("f", "c"):
        raise TypeError(
            f"{name} must be a numpy array of floats, got {getattr(rows, 'dtype', type(rows))}; "
            "convert it first, for example with np.asarray(..., float)"
        )
    if rows.ndim == 0 or len(rows) != count:
        raise ValueError(
            f"{name} must have {count} rows, got shape {rows.shape}; make a frame for so many"
        )
