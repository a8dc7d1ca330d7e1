"""Copies of rows of matrices larger than the caches: read once, written past them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastspline._kernels.blocks import copy_out
from fastspline._kernels.vector import fence
from fastspline._solvers.columns import STREAM_SAFE, threads_for
from fastspline._threads import cut, run_blocks
from fastspline.arrays import FloatArray, first_non_finite
from fastspline.jit import INTERPRETED, JIT, njit

_PIECE = 1 << 15  # bytes of each row at a time, which stay in the cache while they are copied


def take_rows(rows: FloatArray, index: NDArray[np.intp], out: FloatArray) -> bool:
    """Write row ``index[i]`` of `rows` to row i of `out`, unless that is -1.

    Parameters
    ----------
    rows : ndarray, shape (n, columns)
        Contiguous; of a dtype of 4 bytes or a multiple.
    index : ndarray of int, shape (m,)
        In [-1, n).
    out : ndarray, shape (m, columns)
        Contiguous, of the same dtype.

    Returns
    -------
    bool
        Whether all of `rows` is finite; if not, `out` is undefined.

    Examples
    --------
    >>> out = np.zeros((3, 2))
    >>> take_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, -1, 0]), out)
    True
    >>> out
    array([[3., 4.],
           [0., 0.],
           [1., 2.]])
    """
    size = rows.itemsize

    def work(first: int, stop: int) -> int:
        if first_non_finite(rows[:, first:stop]) is not None:
            return first
        if INTERPRETED:
            is_copy = index >= 0
            out[is_copy, first:stop] = rows[index[is_copy], first:stop]
        else:
            _copy(
                rows.ctypes.data + first * size, rows.strides[0], index,
                out.ctypes.data + first * size, out.strides[0], (stop - first) * size,
                int(STREAM_SAFE),
            )  # fmt: skip
        return -1

    return run_blocks(work, cut(rows.shape[1], _PIECE // size), threads_for(rows, out, None)) < 0


@njit(**JIT)
def _copy(source, source_step, index, out, out_step, n_bytes, stream):
    none, one = np.int64(0), np.int64(1)  # literals would compile the copy once more
    for i in range(index.size):
        if index[i] >= 0:
            at = source + index[i] * source_step
            copy_out(at, none, out + i * out_step, none, one, n_bytes, stream)
    if stream:
        fence()
