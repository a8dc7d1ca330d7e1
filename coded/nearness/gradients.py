"""Cell means of the gradients of images: how strong in which direction, and where."""

import math

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray
from fastspline.jit import JIT, njit

_ORIENTATIONS = 8
_CELLS = 6  # along each axis; on 28 x 28 images 10 x 10 pixels each

_FINEST = 64  # blocks, or up to twice as many, along a large side: with 32, networks erred 2 % more
_SIGMA = 0.7  # pixels
_REACH = 4  # of the blur: the Gaussian is 1e-7 of its peak there
_TAPS = np.exp(-(np.arange(_REACH + 1.0) ** 2) / (2.0 * _SIGMA**2))
_TAPS /= _TAPS[0] + 2.0 * _TAPS[1:].sum()
_SUMS = 6  # of a cell: |slope| in four directions, and both differences
_DIAGONAL = math.sqrt(0.5)
_FAINT = 1e-300  # of a squared gradient, where the sum of all pixels is about 1
_SMALLER = 2.0**-100  # times an image whose sums overflow


def gradient_means(images: FloatArray) -> NDArray[np.float64]:
    """Average the gradients of images over cells, apart by their direction.

    A side of 128 pixels or more is first averaged over blocks of ``side // 64`` pixels; the last
    block has the remainder too. Images are blurred (Gaussian, sigma 0.7, zeros outside) and
    differentiated by central differences (x[i + 1] - x[i - 1], 0 at the border). The means are
    those of ``max(0, hx cos a + hy sin a)`` with ``h = g / sqrt(|g|)`` of each gradient g, over
    6 x 6 overlapping cells, each a third of the sides wide (rounded up), from border to border in
    steps as equal as they can be.

    Parameters
    ----------
    images : ndarray of float32 or float64, shape (n, height, width)
        Both sides at least 8.

    Returns
    -------
    ndarray of float64, shape (n, 8, 6, 6)
        The means for a = 0, 45, ..., 315 degrees; nan for an image that is not finite. Those of
        an image do not depend on the others, by no bit.

    References
    ----------
    N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.

    Examples
    --------
    >>> ramp = np.tile(np.arange(28.0), (1, 28, 1))  # brighter to the right
    >>> gradient_means(ramp)[0, [0, 1, 2, 4], 2, 2].round(6)
    array([1.414214, 1.      , 0.      , 0.      ])
    """
    stack = np.require(images, requirements=["C", "A"]).view()
    stack.flags.writeable = False  # always, so that one kernel serves all
    rows, columns = _blocks(stack.shape[1]), _blocks(stack.shape[2])
    down, across = _cells(len(rows) - 1), _cells(len(columns) - 1)
    means = np.empty((len(stack), _ORIENTATIONS, _CELLS, _CELLS))
    _describe(stack, rows, columns, down, across, means)
    return means


def _blocks(side: int) -> NDArray[np.int64]:
    """Give where the blocks begin, and where the last one ends."""
    block = side // _FINEST if side >= 2 * _FINEST else 1
    bounds = np.arange(0, side + 1, block, dtype=np.int64)
    bounds[-1] = side
    return bounds


def _cells(side: int) -> NDArray[np.int64]:
    """Give where the cells begin and end, shape (6, 2)."""
    width = -(-side // 3)
    last = _CELLS - 1
    first = (2 * np.arange(_CELLS, dtype=np.int64) * (side - width) + last) // (2 * last)
    return np.stack([first, first + width], axis=1)


@njit(**JIT)
def _describe(images, rows, columns, down, across, means):
    """Write the means of all images, one by one."""
    height, width = rows.size - 1, columns.size - 1
    small = np.empty((height, width))
    spread = np.zeros((height + 2 * _REACH, width))
    blurred = np.empty((height, width))
    sums = np.empty((_CELLS, _SUMS * width))
    per_cell = 1.0 / ((down[0, 1] - down[0, 0]) * (across[0, 1] - across[0, 0]))
    for i in range(images.shape[0]):
        factor = per_cell
        total = _average(images[i], rows, columns, 1.0, small)
        if not math.isfinite(total):
            total = _average(images[i], rows, columns, _SMALLER, small)
            factor /= math.sqrt(_SMALLER)
        if not math.isfinite(total):
            factor = np.nan
        # By a power of 4, whose root is exact, to a sum of all pixels' sizes of about 1.
        exponent = min(max(math.frexp(total)[1] // 2, -500), 500)
        _blur(small, math.ldexp(1.0, -2 * exponent), spread, blurred)
        _sum_rows(blurred, down, sums)
        _sum_columns(sums, across, math.ldexp(factor, exponent), means[i])


@njit(**JIT)
def _average(image, rows, columns, unit, small):
    """Write `unit` times the means over blocks to `small`; give the sum of their sizes."""
    width = image.shape[1]
    sums = np.empty(width)
    sizes = np.zeros(columns.size - 1)
    for i in range(rows.size - 1):
        target = small[i]
        source = image[rows[i]]
        for x in range(width):
            sums[x] = unit * source[x]
        for y in range(rows[i] + 1, rows[i + 1]):
            source = image[y]
            for x in range(width):
                sums[x] += unit * source[x]
        if target.size < width:
            for j in range(target.size):
                part = sums[columns[j]]
                for x in range(columns[j] + 1, columns[j + 1]):
                    part += sums[x]
                sums[j] = part / (columns[j + 1] - columns[j])
        for j in range(target.size):
            target[j] = sums[j] / (rows[i + 1] - rows[i])
            sizes[j] += abs(target[j])
    total = 0.0
    for j in range(sizes.size):
        total += sizes[j]
    return total


@njit(**JIT)
def _blur(small, unit, spread, blurred):
    """Write `unit` times the convolution with the Gaussian along both axes to `blurred`.

    `spread` has four rows of zeros above and below.
    """
    t0, t1, t2, t3, t4 = _TAPS[0], _TAPS[1], _TAPS[2], _TAPS[3], _TAPS[4]
    height, width = small.shape
    padded = np.zeros(width + 2 * _REACH)
    for y in range(height):
        source, target = small[y], spread[y + _REACH]
        for x in range(width):
            padded[x + _REACH] = unit * source[x]
        for x in range(width):
            target[x] = (
                t4 * (padded[x] + padded[x + 8])
                + t3 * (padded[x + 1] + padded[x + 7])
                + t2 * (padded[x + 2] + padded[x + 6])
                + t1 * (padded[x + 3] + padded[x + 5])
                + t0 * padded[x + 4]
            )
    for y in range(height):
        r0, r1, r2, r3, r4 = spread[y], spread[y + 1], spread[y + 2], spread[y + 3], spread[y + 4]
        r5, r6, r7, r8 = spread[y + 5], spread[y + 6], spread[y + 7], spread[y + 8]
        target = blurred[y]
        for x in range(width):
            target[x] = (
                t4 * (r0[x] + r8[x])
                + t3 * (r1[x] + r7[x])
                + t2 * (r2[x] + r6[x])
                + t1 * (r3[x] + r5[x])
                + t0 * r4[x]
            )


@njit(**JIT)
def _sum_rows(blurred, cells, sums):
    """Write for each row of cells, shape (6, 6 width), the columns of what is summed."""
    height, width = blurred.shape
    across, down = np.zeros(width), np.zeros(width)
    line = np.empty(_SUMS * width)
    level, rising = line[:width], line[width : 2 * width]
    upright, falling = line[2 * width : 3 * width], line[3 * width : 4 * width]
    right, lower = line[4 * width : 5 * width], line[5 * width :]
    for i in range(_CELLS):
        for x in range(line.size):
            sums[i, x] = 0.0
    for y in range(height):
        above, here, below = blurred[max(y - 1, 0)], blurred[y], blurred[min(y + 1, height - 1)]
        inside = 1.0 if 0 < y < height - 1 else 0.0
        for x in range(1, width - 1):
            across[x] = here[x + 1] - here[x - 1]
        for x in range(width):
            down[x] = inside * (below[x] - above[x])
        for x in range(width):
            squared = across[x] * across[x] + down[x] * down[x]
            shorten = 1.0 / math.sqrt(math.sqrt(squared + _FAINT))
            right[x] = shorten * across[x]
            lower[x] = shorten * down[x]
        for x in range(width):
            level[x] = abs(right[x])
        for x in range(width):
            rising[x] = _DIAGONAL * abs(right[x] + lower[x])
        for x in range(width):
            upright[x] = abs(lower[x])
        for x in range(width):
            falling[x] = _DIAGONAL * abs(lower[x] - right[x])
        for i in range(_CELLS):
            if cells[i, 0] <= y < cells[i, 1]:
                total = sums[i]
                for x in range(line.size):
                    total[x] += line[x]


@njit(**JIT)
def _sum_columns(sums, cells, factor, means):
    """Sum over the columns of each cell, and write `factor` times what is asked for."""
    width = sums.shape[1] // _SUMS
    turned = np.empty((width, _CELLS * _SUMS))
    for i in range(_CELLS):
        for k in range(_SUMS):
            for x in range(width):
                turned[x, i * _SUMS + k] = sums[i, k * width + x]
    cell = np.empty(_CELLS * _SUMS)
    half = _ORIENTATIONS // 2
    for j in range(_CELLS):
        for q in range(cell.size):
            cell[q] = 0.0
        for x in range(cells[j, 0], cells[j, 1]):
            column = turned[x]
            for q in range(cell.size):
                cell[q] += column[q]
        for i in range(_CELLS):
            right, lower = cell[i * _SUMS + 4], cell[i * _SUMS + 5]
            slopes = (right, _DIAGONAL * (right + lower), lower, _DIAGONAL * (lower - right))
            for k in range(half):
                # max(0, v) and max(0, -v): half the sum and the difference of |v| and v.
                size, slope = cell[i * _SUMS + k], slopes[k]
                means[k, i, j] = factor * max(0.5 * (size + slope), 0.0)
                means[k + half, i, j] = factor * max(0.5 * (size - slope), 0.0)
